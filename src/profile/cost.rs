//! `[cost]`: what events cost, and what parts take, each with its unit in its name. A constant that the source lacks is left
//! out: reports then say so, and count nothing for it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    }
}

impl Cost {
    /// Whether anything costs anything.
    pub fn any(&self) -> bool {
        *self != Cost::default()
    }

    /// What converters of so many bits cost, over those that the constants are of: energy and area twice with every bit, as at
    /// one figure of merit (R. H. Walden, IEEE JSAC 17, 539, 1999); 1 for ideal ones.
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
