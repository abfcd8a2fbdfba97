//! `[cost]`: what events cost, and what parts take, each with its unit in its name. A constant that the source lacks is
//! left out: reports then say so, and count nothing for it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::node::TechnologyNode;
use crate::config::is_default;

/// Costs of events and parts.
///
/// # Examples
/// ```
/// use crosspike::Profile;
///
/// let cost = Profile::named("spikesim_65nm", &[])?.cost;
/// assert_eq!((cost.adc_model.as_str(), cost.adc_bits), ("SpikeSim, 65 nm", 4));
/// assert_eq!(cost.conversion(6), 4.0); // Two bits more take four times the energy and area.
/// # Ok::<(), crosspike::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Cost {
    /// The ADC model that the converters' constants are of: public ones differ five- to twelvefold.
    pub adc_model: String,
    /// The bits of those converters. At other `adc.bits` a converter's energy and area double with every bit.
    pub adc_bits: u32,
    /// Energy of events.
    pub energy_pj: Energy,
    /// Area of parts.
    pub area_um2: Area,
    /// Time of steps.
    pub time_ns: Time,
    /// Power that parts take all the time.
    #[serde(skip_serializing_if = "is_default")]
    pub power_uw: Power,
    /// The technology nodes of the constants and of the chip.
    #[serde(skip_serializing_if = "is_default")]
    pub node: TechnologyNode,
}

/// A section of optional numbers, their keys, and what each is of.
macro_rules! constants {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            $($(#[$field_doc])* #[serde(skip_serializing_if = "Option::is_none")] pub $field: Option<f64>,)*
        }

        impl $name {
            /// Every key with its value.
            pub fn all(&self) -> Vec<(&'static str, Option<f64>)> {
                vec![$((stringify!($field), self.$field)),*]
            }

            /// Every value, to be changed; times never are.
            #[allow(dead_code)]
            pub(super) fn all_mut(&mut self) -> Vec<&mut Option<f64>> {
                vec![$(&mut self.$field),*]
            }
        }
    };
}

constants! {
    /// `[cost.energy_pj]`: picojoule an event.
    ///
    /// # Examples
    /// ```
    /// use crosspike::Profile;
    ///
    /// let energy_pj = Profile::named("spikesim_65nm", &[])?.cost.energy_pj;
    /// assert_eq!((energy_pj.adc, energy_pj.word_line), (Some(2.03084), None)); // The source leaves drivers out.
    /// # Ok::<(), crosspike::Error>(())
    /// ```
    Energy {
        /// A device of a driven row: one for each drive of its word line.
        cell_read,
        /// A word line of a tile, driven once.
        word_line,
        /// A conversion.
        adc,
        /// The multiplexer in front of it, a conversion.
        mux,
        /// What subtracts, shifts and adds a code, a conversion.
        code,
        /// The H-tree, a code.
        htree,
        /// The tile's buffer, a code.
        tile_buffer,
        /// The buffer of partial results, a code.
        temporary_buffer,
        /// Fetching a tile's inputs: once for each drive of a tile and output pixel.
        fetch,
        /// A neuron's update, a step.
        neuron,
        /// An addition that joins a further term to a neuron's current, or others' pulses to its own, a step.
        join,
        /// A bit of the companion array, read.
        sram_read_bit,
        /// An addition of its products.
        sram_add,
        /// A pulse that programs a device.
        write_pulse,
        /// A byte on the bus, or over one hop of the mesh.
        interconnect_byte,
        /// A byte written to the global buffer, or read from it.
        buffer_byte,
        /// A byte of weights that comes from off-chip memory.
        offchip_byte,
    }
}

constants! {
    /// `[cost.area_um2]`: square micrometre a part.
    ///
    /// # Examples
    /// ```
    /// use crosspike::Profile;
    ///
    /// let area_um2 = Profile::named("spikesim_65nm", &[])?.cost.area_um2;
    /// assert_eq!(area_um2.cell, Some(26.2144 / 4096.0)); // The published crossbar of 64 x 64.
    /// # Ok::<(), crosspike::Error>(())
    /// ```
    Area {
        /// A device.
        cell,
        /// A converter.
        adc,
        /// The multiplexer in front of a converter.
        mux,
        /// What subtracts, shifts and adds codes, a converter.
        code,
        /// The H-tree, a tile.
        htree,
        /// The buffer, a tile.
        tile_buffer,
        /// The buffer of partial results, a tile.
        temporary_buffer,
        /// A neuron with its membrane.
        neuron,
        /// The adder of a term that joins neurons, a converter.
        join,
        /// A bit of the companion array.
        sram_bit,
        /// A router of the mesh, a tile.
        router,
        /// A byte of the global buffer.
        buffer_byte,
        /// Control, clock generation, references and pads, a chip.
        control,
    }
}

constants! {
    /// `[cost.time_ns]`: nanosecond a step.
    ///
    /// # Examples
    /// ```
    /// use crosspike::Profile;
    ///
    /// let time_ns = Profile::named("spikesim_65nm", &[])?.cost.time_ns;
    /// assert_eq!(time_ns.conversion, Some(26.0 / 0.25 / 8.0)); // 26 clocks of 250 MHz for eight columns.
    /// assert_eq!(time_ns.drive, None);
    /// # Ok::<(), crosspike::Error>(())
    /// ```
    Time {
        /// Driving the lines of a tile until they have settled.
        drive,
        /// A conversion; converters that serve several columns take them one after the other.
        conversion,
        /// A byte on the bus, or into the mesh; a layer's bytes one after the other.
        interconnect_byte,
        /// A byte of weights from off-chip memory until it is written.
        offchip_byte,
    }
}

constants! {
    /// `[cost.power_uw]`: microwatt a part, whatever comes in: from each image to the next.
    ///
    /// # Examples
    /// ```
    /// use crosspike::Profile;
    ///
    /// let keys = ["cost.power_uw.tile=20", "adc.range=full"].map(String::from);
    /// let power_uw = Profile::named("spikesim_65nm", &keys)?.cost.power_uw;
    /// assert_eq!((power_uw.tile, power_uw.clock), (Some(20.0), None));
    /// # Ok::<(), crosspike::Error>(())
    /// ```
    Power {
        /// Leakage of a device.
        cell,
        /// Leakage of a converter, and its standing current.
        adc,
        /// Leakage of what else a tile has: drivers, buffers, adders.
        tile,
        /// Leakage of a neuron with its membrane.
        neuron,
        /// Leakage of a bit of the companion array.
        sram_bit,
        /// Leakage of a byte of the global buffer.
        buffer_byte,
        /// The clock of a tile.
        clock,
        /// Control, clock generation and references of a chip.
        control,
    }
}

impl Cost {
    /// Whether anything costs anything.
    pub fn any(&self) -> bool {
        self.constants().iter().any(|(_, _, value)| value.is_some())
    }

    /// The constants at the chip's node.
    pub fn at_node(&self) -> Cost {
        let (node, same) = (self.node, [self.node.from_nm, self.node.to_nm]);
        let Some([area, energy]) = node.factors() else { return self.clone() };
        let mut cost = self.clone();
        let (e, a) = (&mut cost.energy_pj, &mut cost.area_um2);
        let scaled =
            |values: Vec<&mut Option<f64>>, factor: f64| values.into_iter().flatten().for_each(|x| *x *= factor);
        let (read, write, cell) = (e.cell_read, e.write_pulse, a.cell);
        scaled(e.all_mut(), energy);
        scaled(a.all_mut(), area);
        scaled(cost.power_uw.all_mut(), energy);
        (cost.energy_pj.cell_read, cost.energy_pj.write_pulse, cost.area_um2.cell) = (read, write, cell);
        cost.power_uw.cell = self.power_uw.cell;
        if !cost.adc_model.is_empty() && same[0] != same[1] {
            cost.adc_model += &format!(", scaled from {} to {} nm", self.node.from_nm, self.node.to_nm);
        }
        cost.node = TechnologyNode::default();
        cost
    }

    /// Every constant: its section, its key and its value.
    pub fn constants(&self) -> Vec<(&'static str, &'static str, Option<f64>)> {
        let Cost { energy_pj, area_um2, time_ns, power_uw, .. } = self;
        let sections = [
            ("energy_pj", energy_pj.all()),
            ("area_um2", area_um2.all()),
            ("time_ns", time_ns.all()),
            ("power_uw", power_uw.all()),
        ];
        let of =
            |(section, keys): (&'static str, Vec<_>)| keys.into_iter().map(move |(key, value)| (section, key, value));
        sections.into_iter().flat_map(of).collect()
    }

    /// What converters of so many bits cost, over those that the constants are of: energy and area twice with every
    /// bit, as at one figure of merit (R. H. Walden, IEEE JSAC 17, 539, 1999); 1 for ideal ones.
    pub fn conversion(&self, bits: u32) -> f64 {
        if bits == 0 { 1.0 } else { (f64::from(bits) - f64::from(self.adc_bits)).exp2() }
    }

    /// What moving and adding a code costs, over the same: as many wires and cells as bits.
    pub fn width(&self, bits: u32) -> f64 {
        if bits == 0 || self.adc_bits == 0 { 1.0 } else { f64::from(bits) / f64::from(self.adc_bits) }
    }

    /// The ADC model behind results at so many bits.
    pub fn adc_model(&self, bits: u32) -> String {
        match bits {
            0 => "none: ideal converters cost nothing".into(),
            _ if self.adc_model.is_empty() => "none: the profile prices no converter".into(),
            _ if bits == self.adc_bits => self.adc_model.clone(),
            _ => format!("{}, from {} to {bits} bits at one figure of merit", self.adc_model, self.adc_bits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_and_times_stay() {
        let mut cost = Cost::default();
        (cost.energy_pj.cell_read, cost.energy_pj.adc) = (Some(2.0), Some(2.0));
        (cost.area_um2.cell, cost.area_um2.adc, cost.time_ns.drive) = (Some(3.0), Some(3.0), Some(4.0));
        assert_eq!(cost.at_node(), cost);
        cost.node = TechnologyNode { from_nm: 65, from_v: 1.0, to_nm: 7, to_v: 0.7 };
        let scaled = cost.at_node();
        assert_eq!(
            (scaled.energy_pj.cell_read, scaled.area_um2.cell, scaled.time_ns.drive),
            (Some(2.0), Some(3.0), Some(4.0))
        );
        assert_eq!(scaled.area_um2.adc, Some(3.0 * 0.039));
        assert_eq!(scaled.at_node(), scaled, "once");
    }
}
