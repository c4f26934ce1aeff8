//! How a memory is reached: ports and banks of a buffer, rows and banks of the DRAM.

use super::figures::{MAX_COUNT, Reader};
use crate::hardware::raw::{RawBuffer, RawDram};
use crate::hardware::{DramRows, Ports};
use crate::units::Capacity;
use toml::Spanned;

/// Largest row in bytes: more than any DRAM opens at once.
const MAX_ROW: u64 = 1 << 20;

// `None` is a fault, `Some(None)` an absent table, as in `Reader::optional`.
#[expect(clippy::option_option, reason = "absent and faulty are different answers")]
impl Reader {
    /// Ports of a buffer whose port moves words of `word` bits.
    pub(super) fn ports(&mut self, raw: &RawBuffer, word: u64) -> Option<Option<Ports>> {
        let ports = raw.ports.as_ref();
        if let Some(ports) = ports.filter(|ports| !(1..=2).contains(ports.get_ref())) {
            self.fault(
                ports.span(),
                format!("a buffer has 1 or 2 ports, not {}", ports.get_ref()),
                "write 1 (both sides share it), 2 (one for each side), or leave `ports` out",
            );
            return None;
        }
        let ports = ports.map(|ports| *ports.get_ref());
        let Some(banks) = &raw.banks else {
            return Some(match ports {
                None => None,
                Some(1) => Some(Ports::Shared { banks: 1 }),
                Some(_) => Some(Ports::Separate),
            });
        };
        if ports != Some(1) {
            self.fault(
                banks.span(),
                "`banks` without a port to share",
                "add `ports = 1` beside it, or leave `banks` out",
            );
            return None;
        }
        let count = self.positive(banks, "`banks`")?;
        self.banks_hold_words(raw, banks, word)?;
        Some(Some(Ports::Shared { banks: count }))
    }

    /// Every bank holds a word at least.
    fn banks_hold_words(&mut self, raw: &RawBuffer, banks: &Spanned<u64>, word: u64) -> Option<()> {
        let Ok(capacity) = raw.capacity.get_ref().parse::<Capacity>() else {
            return Some(()); // reported where capacities are read
        };
        let words = capacity.bits() / word.max(1);
        if *banks.get_ref() <= words {
            return Some(());
        }
        self.fault(
            banks.span(),
            format!(
                "{} banks, but the buffer has {words} words of {word} bits (`bits-per-cycle`)",
                banks.get_ref()
            ),
            "lower `banks`, or raise `capacity`",
        );
        None
    }

    /// Rows of a DRAM.
    pub(super) fn rows(&mut self, raw: &RawDram) -> Option<Option<DramRows>> {
        let Some(rows) = &raw.rows else { return Some(None) };
        let row_bytes = self.count(&rows.row_bytes, "`row-bytes`", MAX_ROW).map(u64::from);
        let banks = self.count(&rows.banks, "`banks`", MAX_COUNT).map(u64::from);
        let miss = self.count(&rows.row_miss_cycles, "`row-miss-cycles`", MAX_COUNT);
        let activate_energy = self.optional(rows.activate_energy.as_ref());
        self.source(&rows.source);
        let row_bytes =
            row_bytes.and_then(|bytes| self.row(&rows.row_bytes, bytes, *raw.burst_bits.get_ref()));
        Some(Some(DramRows {
            row_bytes: row_bytes?,
            banks: banks?,
            row_miss_cycles: miss?.into(),
            activate_energy: activate_energy?,
        }))
    }

    /// A row is a power of two of bytes, and whole bursts.
    fn row(&mut self, raw: &Spanned<u64>, bytes: u64, burst: u64) -> Option<u64> {
        if !bytes.is_power_of_two() {
            self.fault(
                raw.span(),
                format!("`row-bytes` is {bytes}, no power of two"),
                format!(
                    "write {}, or what the datasheet calls the page size",
                    bytes.next_power_of_two()
                ),
            );
            return None;
        }
        if burst > 0 && !(bytes * 8).is_multiple_of(burst) {
            self.fault(
                raw.span(),
                format!(
                    "a row of {} bits is no whole number of bursts of {burst} bits",
                    bytes * 8
                ),
                "raise `row-bytes`, or lower `burst-bits`",
            );
            return None;
        }
        Some(bytes)
    }
}
