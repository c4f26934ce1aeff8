//! Energy constants: operand widths, technology nodes and SRAM sizes other than those a source prints.
//!
//! The shipped profiles are filled with these functions and a test recomputes them, so that a constant and the
//! row it was derived from cannot drift apart.

use super::EnergyTable;
use crate::units::{Capacity, Energy};

/// Nominal supply voltage in V by node in nm.
///
/// 65 nm: Eyeriss runs at 1.0 V (Chen et al., JSSC 2017). 45 nm: Horowitz's figure is given for 0.9 V (ISSCC
/// 2014, Fig. 1.1.9). 40 and 28 nm: assumed 0.9 V, the nominal supply of the general-purpose and of the
/// high-performance variants; a low-power variant at 1.1 V would take 1.5 times the energy.
/// 16 nm: assumed 0.8 V, the nominal supply of `FinFET` processes.
const SUPPLY: [(u32, f64); 5] = [(65, 1.0), (45, 0.9), (40, 0.9), (28, 0.9), (16, 0.8)];

/// Reads of 64 bits at 45 nm: capacity in bits, energy in pJ (Horowitz, ISSCC 2014, Fig. 1.1.9).
const SRAM_READS: [(f64, f64); 3] = [
    (8.0 * 8192.0, 10.0),
    (32.0 * 8192.0, 20.0),
    (1024.0 * 8192.0, 100.0),
];

impl EnergyTable {
    /// Energy in pJ of one multiply-accumulate of a `weight_bits` × `activation_bits` product.
    ///
    /// The multiplier scales with the product of the operand widths (its cells), the adder with the width of what
    /// it adds, the sum of the operand widths. At the reference width this is `multiply + accumulate` exactly.
    #[must_use]
    pub fn mac_energy(&self, weight_bits: u32, activation_bits: u32) -> f64 {
        let reference = f64::from(self.mac.value.bits);
        let (w, a) = (f64::from(weight_bits), f64::from(activation_bits));
        let multiply = self.mac.value.multiply.value() * (w * a) / (reference * reference);
        let accumulate = self.mac.value.accumulate.value() * (w + a) / (2.0 * reference);
        multiply + accumulate
    }
}

/// Nominal supply voltage in V of a node, if its node is in the table (65, 45, 40, 28, 16 nm).
#[must_use]
pub fn supply_voltage(nm: u32) -> Option<f64> {
    SUPPLY
        .iter()
        .find(|&&(node, _)| node == nm)
        .map(|&(_, volts)| volts)
}

/// A dynamic energy taken from one node to another: capacitance falls with the feature size, and energy is
/// C·V², so `energy · (to / from) · (V_to / V_from)²`.
///
/// First-order: wires and SRAM bit lines scale worse, and a factor of 1.5 either way is usual. `None` for a node
/// whose supply voltage is not known (see [`supply_voltage`]).
#[must_use]
pub fn scale(energy: Energy, from_nm: u32, to_nm: u32) -> Option<Energy> {
    let volts = supply_voltage(to_nm)? / supply_voltage(from_nm)?;
    Energy::new(energy.value() * f64::from(to_nm) / f64::from(from_nm) * volts * volts)
}

/// Energy in pJ to read one bit of an SRAM of this capacity at 45 nm, on straight lines in log-log between the
/// 8 KB, 32 KB and 1 MB points of Horowitz (ISSCC 2014, Fig. 1.1.9), continued beyond both ends.
///
/// The capacity is that of one bank: a buffer of many banks switches one of them per access. The figure reads 64
/// bits at once; the energy per bit is taken as independent of the width.
#[must_use]
pub fn sram_read_per_bit(capacity: Capacity) -> f64 {
    let [small, middle, large] = SRAM_READS;
    let bits = capacity.value();
    let (low, high) = if bits <= middle.0 {
        (small, middle)
    } else {
        (middle, large)
    };
    let slope = (high.1 / low.1).ln() / (high.0 / low.0).ln();
    low.1 / 64.0 * (bits / low.0).powf(slope)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hardware::{MacEnergy, Sourced};
    use proptest::prelude::*;

    fn table(bits: u32, multiply: f64, accumulate: f64) -> EnergyTable {
        let energy = |pj| Energy::new(pj).expect("not negative");
        let value = MacEnergy {
            bits,
            multiply: energy(multiply),
            accumulate: energy(accumulate),
        };
        EnergyTable {
            mac: Sourced {
                value,
                source: "test".into(),
            },
            decode_per_entry: None,
            register_per_mac: None,
            hop_per_word: None,
            leakage: None,
        }
    }

    /// Horowitz prints 0.2 pJ for 8 bits and 3.1 pJ for 32: the quadratic rule misses by 3 %.
    #[test]
    fn multiplier_energy_is_quadratic_as_printed() {
        let eight = table(8, 0.2, 0.0);
        assert!((eight.mac_energy(32, 32) / 3.1 - 1.0).abs() < 0.04);
        assert!((table(16, 0.8, 0.05).mac_energy(16, 16) - 0.85).abs() < 1e-12);
        // 16 x 4: a quarter of the multiplier, 20/32 of the adder
        assert!((table(16, 0.8, 0.064).mac_energy(4, 16) - (0.2 + 0.04)).abs() < 1e-12);
    }

    #[test]
    fn sram_passes_through_the_printed_points() {
        for (bits, pj) in SRAM_READS {
            let capacity = Capacity::new(bits).expect("positive");
            assert!((sram_read_per_bit(capacity) * 64.0 - pj).abs() < 1e-9);
        }
    }

    /// Calibration of Eyeriss: 0.85 pJ at 45 nm and 0.9 V become 1.52 pJ at 65 nm and 1.0 V.
    #[test]
    fn scaling_reproduces_the_eyeriss_mac() {
        let mac = scale(Energy::new(0.85).expect("positive"), 45, 65).expect("both nodes known");
        assert!((mac.value() - 1.516).abs() < 1e-3, "{mac}");
        assert!(scale(mac, 65, 7).is_none());
    }

    proptest! {
        /// Scaling there and back changes nothing.
        #[test]
        fn scaling_is_invertible(pj in 0.001f64..1e3, from in 0usize..5, to in 0usize..5) {
            let (from, to) = (SUPPLY[from].0, SUPPLY[to].0);
            let energy = Energy::new(pj).expect("positive");
            let back = scale(scale(energy, from, to).expect("known"), to, from).expect("known");
            prop_assert!((back.value() / pj - 1.0).abs() < 1e-12);
        }

        /// A larger SRAM never reads cheaper; a wider operand never multiplies cheaper.
        #[test]
        fn energy_is_monotone(bits in 1u64..1 << 34, more in 0u64..1 << 34, w in 1u32..33, a in 1u32..33) {
            let read = |b: u64| sram_read_per_bit(Capacity::new(b as f64).expect("positive"));
            prop_assert!(read(bits) <= read(bits + more));
            let mac = table(16, 0.8, 0.05);
            prop_assert!(mac.mac_energy(w, a) < mac.mac_energy(w + 1, a));
            prop_assert!(mac.mac_energy(w, a) < mac.mac_energy(w, a + 1));
        }
    }
}
