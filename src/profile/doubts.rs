//! Values that no device has, so that another unit may be meant.

use super::{DeviceModel, Profile, Rram, Scheme, VariationKind};
use crate::device::code::{magnitudes, slices};

impl Profile {
    /// Sentences about values that no device has, so that another unit may be meant: for the user to look at.
    pub fn doubts(&self) -> Vec<String> {
        let mut said = vec![];
        let own = self.layer.iter().map(|(name, own)| (format!("layer.{name}.rram"), &own.rram));
        let own = own.filter(|(_, rram)| rram.cell != self.rram.cell || rram.variation != self.rram.variation);
        for (section, rram) in std::iter::once(("rram".to_owned(), &self.rram)).chain(own) {
            let (g_max_us, variation) = (rram.cell.highest_us(), &rram.variation);
            if rram.model == DeviceModel::Cell && !(1e-3..=1e5).contains(&g_max_us) {
                let ohm = 1e6 / g_max_us;
                let key = if rram.cell.levels_us.is_empty() { "g_max_us" } else { "levels_us" };
                said.push(format!("{section}.cell.{key} = {g_max_us} is {ohm:.3e} ohm: is it in microsiemens?"));
            }
            said.extend(levels(&section, rram));
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

/// A sentence where a scheme has more levels than a cell.
fn levels(section: &str, rram: &Rram) -> Option<String> {
    if rram.model == DeviceModel::Weight || rram.effective_scheme() == Scheme::Float {
        return None;
    }
    let (wanted, weight_bits) = (magnitudes(rram), rram.weight_bits);
    let (bits, slices, listed) = (rram.cell.bits, slices(rram) as u32, rram.cell.levels_us.len() as u32);
    let held = 1u32.checked_shl(bits * slices.saturating_sub(1)).unwrap_or(u32::MAX);
    if bits > 0 && slices > 1 && wanted == held + 1 {
        return Some(format!(
            "{section}.weight_bits = {weight_bits} has {wanted} levels a device, one more than {held}: {slices} \
             slices of cells of {bits} bits stand where {} would hold all but the largest",
            slices - 1
        ));
    }
    (bits == 0 && listed > 0 && listed < wanted).then(|| {
        format!(
            "{section}.weight_bits = {weight_bits} has {wanted} levels a device, and {section}.cell.levels_us \
             {listed}: weights are the nearest that a weight's devices hold"
        )
    })
}
