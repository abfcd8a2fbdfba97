//! Values that no device has, so that another unit may be meant.

use super::{DeviceModel, Profile, VariationKind};

impl Profile {
    /// Sentences about values that no device has, so that another unit may be meant: for the user to look at.
    pub fn doubts(&self) -> Vec<String> {
        let mut said = vec![];
        let own = self.layer.iter().map(|(name, own)| (format!("layer.{name}.rram"), &own.rram));
        let own = own.filter(|(_, rram)| rram.cell != self.rram.cell || rram.variation != self.rram.variation);
        for (section, rram) in std::iter::once(("rram".to_owned(), &self.rram)).chain(own) {
            let (g_max_us, variation) = (rram.cell.g_max_us, &rram.variation);
            if rram.model == DeviceModel::Cell && !(1e-3..=1e5).contains(&g_max_us) {
                let ohm = 1e6 / g_max_us;
                said.push(format!("{section}.cell.g_max_us = {g_max_us} is {ohm:.3e} ohm: is it in microsiemens?"));
            }
            if variation.kind == VariationKind::Lognormal && variation.sigma > 3.0 {
                let (sigma, factor) = (variation.sigma, variation.sigma.exp());
                said.push(format!(
                    "{section}.variation.sigma = {sigma} spreads cells by a factor of {factor:.0}: 0.1 would be 10 %"
                ));
            }
        }
        said
    }
}
