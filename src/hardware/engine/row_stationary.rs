//! A row-stationary array (Eyeriss): what a profile says of it.

use super::{EngineForm, EngineKind, doubled};
use crate::compression::encoding::Encoding;
use crate::hardware::read::{MAX_COUNT, Reader};
use crate::hardware::resources::{Fabric, Resources, ResourcesError};
use crate::units::{Capacity, add, mul};
use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

/// A row-stationary array: each PE keeps rows of filters and slides them over a row of the input; the PEs of a
/// column add their partial sums up. Features and partial sums live in banks of a shared buffer.
#[derive(Debug, Clone, PartialEq)]
pub struct RowStationary {
    /// Rows of PEs.
    pub rows: u32,
    /// Columns of PEs.
    pub cols: u32,
    /// Words of a PE's filter register file.
    pub filter_words: u32,
    /// Words of a PE's input register file.
    pub input_words: u32,
    /// Words of a PE's register file for partial sums.
    pub psum_words: u32,
    /// Partial sums a cycle between buffer and array, in each direction.
    pub psums_per_cycle: u32,
    /// Weights a cycle into the array.
    pub weights_per_cycle: u32,
    /// Input features a cycle into the array.
    pub inputs_per_cycle: u32,
    /// Banks of the shared buffer; a bank holds either input features or partial sums.
    pub banks: u32,
    /// Size of a bank.
    pub bank: Capacity,
    /// Whether a zero input stops the multiplier and all register accesses but its own.
    pub gates_zero_inputs: bool,
    /// How features are compressed on their way to and from DRAM, if they are.
    pub run_length: Option<RunLength>,
}

/// Run-length coding of features in DRAM: so many non-zeros, each with the zeros before it, share a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunLength {
    /// Non-zeros in a word.
    pub values: u32,
    /// Bits of a word.
    pub word_bits: u32,
}

/// A row-stationary array (Eyeriss).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "RowStationary")]
pub(crate) struct RawRowStationary {
    /// Rows of PEs.
    #[schemars(with = "u32", range(min = 1, max = 65_536))]
    pub(crate) rows: Spanned<u64>,
    /// Columns of PEs.
    #[schemars(with = "u32", range(min = 1, max = 65_536))]
    pub(crate) cols: Spanned<u64>,
    /// Words of a PE's filter register file.
    #[schemars(with = "u32", range(min = 1, max = 65_536))]
    pub(crate) filter_words: Spanned<u64>,
    /// Words of a PE's input register file.
    #[schemars(with = "u32", range(min = 1, max = 65_536))]
    pub(crate) input_words: Spanned<u64>,
    /// Words of a PE's register file for partial sums.
    #[schemars(with = "u32", range(min = 1, max = 65_536))]
    pub(crate) psum_words: Spanned<u64>,
    /// Partial sums a cycle between buffer and array, in each direction.
    #[schemars(with = "u32", range(min = 1, max = 65_536))]
    pub(crate) psums_per_cycle: Spanned<u64>,
    /// Weights a cycle into the array.
    #[schemars(with = "u32", range(min = 1, max = 65_536))]
    pub(crate) weights_per_cycle: Spanned<u64>,
    /// Input features a cycle into the array.
    #[schemars(with = "u32", range(min = 1, max = 65_536))]
    pub(crate) inputs_per_cycle: Spanned<u64>,
    /// Banks of the buffer that holds inputs and partial sums; a bank holds either.
    #[schemars(with = "u32", range(min = 2, max = 65_536))]
    pub(crate) banks: Spanned<u64>,
    /// Size of a bank, as `4 KiB`.
    #[schemars(with = "Capacity")]
    pub(crate) bank: Spanned<String>,
    /// Whether a zero input stops the multiplier and all register accesses but its own.
    pub(crate) gates_zero_inputs: bool,
    /// Run-length coding of features in DRAM.
    pub(crate) run_length: Option<RawRunLength>,
    /// Where the structure comes from.
    #[schemars(with = "String", length(min = 1))]
    pub(crate) source: Spanned<String>,
}

/// Run-length coding of features in DRAM: so many non-zeros, each with the zeros before it, share a word.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "RunLength")]
pub(crate) struct RawRunLength {
    /// Non-zeros in a word.
    #[schemars(with = "u32", range(min = 1, max = 65_536))]
    pub(crate) values: Spanned<u64>,
    /// Bits of a word.
    #[schemars(with = "u32", range(min = 1, max = 65_536))]
    pub(crate) word_bits: Spanned<u64>,
    /// Where the code comes from.
    #[schemars(with = "String", length(min = 1))]
    pub(crate) source: Spanned<String>,
}

impl RawRunLength {
    fn read(&self, reader: &mut Reader) -> Option<RunLength> {
        let values = reader.count(&self.values, "`values`", MAX_COUNT);
        let word_bits = reader.count(&self.word_bits, "`word-bits`", MAX_COUNT);
        reader.source(&self.source);
        Some(RunLength {
            values: values?,
            word_bits: word_bits?,
        })
    }
}

impl RawRowStationary {
    /// The checked array.
    pub(super) fn read(&self, reader: &mut Reader) -> Option<RowStationary> {
        let rows = reader.count(&self.rows, "`rows`", MAX_COUNT);
        let cols = reader.count(&self.cols, "`cols`", MAX_COUNT);
        let filter_words = reader.count(&self.filter_words, "`filter-words`", MAX_COUNT);
        let input_words = reader.count(&self.input_words, "`input-words`", MAX_COUNT);
        let psum_words = reader.count(&self.psum_words, "`psum-words`", MAX_COUNT);
        let psums_per_cycle = reader.count(&self.psums_per_cycle, "`psums-per-cycle`", MAX_COUNT);
        let weights_per_cycle = reader.count(&self.weights_per_cycle, "`weights-per-cycle`", MAX_COUNT);
        let inputs_per_cycle = reader.count(&self.inputs_per_cycle, "`inputs-per-cycle`", MAX_COUNT);
        let mut banks = reader.count(&self.banks, "`banks`", MAX_COUNT);
        if banks == Some(1) {
            reader.fault(
                self.banks.span(),
                "one bank cannot hold inputs and partial sums",
                "write the banks that the hardware has, at least 2",
            );
            banks = None;
        }
        let bank = reader.capacity(&self.bank);
        reader.source(&self.source);
        let run_length = match &self.run_length {
            None => Some(None),
            Some(code) => code.read(reader).map(Some),
        };
        Some(RowStationary {
            rows: rows?,
            cols: cols?,
            filter_words: filter_words?,
            input_words: input_words?,
            psum_words: psum_words?,
            psums_per_cycle: psums_per_cycle?,
            weights_per_cycle: weights_per_cycle?,
            inputs_per_cycle: inputs_per_cycle?,
            banks: banks?,
            bank: bank?,
            gates_zero_inputs: self.gates_zero_inputs,
            run_length: run_length?,
        })
    }
}

impl EngineForm for RowStationary {
    fn encoding(&self) -> Encoding {
        Encoding::Dense
    }

    fn mapping(&self) -> String {
        format!("rs-{}x{}", self.rows, self.cols)
    }

    fn label(&self) -> String {
        format!("row-stationary {}x{}", self.rows, self.cols)
    }

    fn describe(&self) -> Vec<(&'static str, String)> {
        let mut lines = vec![
            ("array", format!("{} x {} row-stationary", self.rows, self.cols)),
            (
                "registers of a PE",
                format!(
                    "{} filter, {} input, {} partial-sum words",
                    self.filter_words, self.input_words, self.psum_words
                ),
            ),
            (
                "words a cycle",
                format!(
                    "{} partial sums each way, {} weights, {} inputs",
                    self.psums_per_cycle, self.weights_per_cycle, self.inputs_per_cycle
                ),
            ),
            (
                "banks",
                format!("{} of {} KiB", self.banks, self.bank.value() / 8192.0),
            ),
            (
                "zero inputs",
                if self.gates_zero_inputs {
                    "gated"
                } else {
                    "multiplied"
                }
                .into(),
            ),
        ];
        if let Some(code) = self.run_length {
            lines.push((
                "features in DRAM",
                format!("{} non-zeros in {} bits", code.values, code.word_bits),
            ));
        }
        lines
    }

    fn changes(&self, cause: &str) -> Vec<(String, EngineKind)> {
        let twice = |what, count| doubled(self, EngineKind::RowStationary, what, count);
        match cause {
            "compute" | "unused" => vec![twice("columns", |a| &mut a.cols), twice("rows", |a| &mut a.rows)],
            "feature_port" => vec![
                twice("partial sums a cycle", |a| &mut a.psums_per_cycle),
                twice("inputs a cycle", |a| &mut a.inputs_per_cycle),
            ],
            "fill_drain" => vec![
                twice("weights a cycle", |a| &mut a.weights_per_cycle),
                twice("inputs a cycle", |a| &mut a.inputs_per_cycle),
                twice("filter words", |a| &mut a.filter_words),
            ],
            _ => Vec::new(),
        }
    }

    fn resources(&self, _: &str, fabric: &Fabric) -> Result<Resources, ResourcesError> {
        let (mac, widths) = (fabric.mac(), fabric.widths);
        // a look-up table is a RAM of 64 bits
        let file = |words: u32, bits: u32| mul(u64::from(words).div_ceil(64), bits.into());
        let files = add(
            add(
                file(self.filter_words, widths.weight)?,
                file(self.input_words, widths.activation)?,
            )?,
            file(self.psum_words, widths.accumulator)?,
        )?;
        let pe = Resources {
            lut: add(mac.lut, files)?,
            ..mac
        };
        Ok(pe.times(mul(self.rows.into(), self.cols.into())?)?)
    }
}
