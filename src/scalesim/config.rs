//! SCALE-Sim v3's cfg file.

use super::ini::Ini;
use crate::document::{Fault, Faults, Source};
use crate::hardware::{Dataflow, Systolic};

/// Words in a kB of SRAM: a word is one byte there.
const WORDS_PER_KB: u64 = 1024;
/// Rows or columns of an array.
const MOST_PES: u64 = 65_536;
/// kB of one SRAM: a GiB.
const MOST_KB: u64 = 1 << 20;
/// Words a cycle.
const MOST_BANDWIDTH: u64 = 1 << 20;

/// A checked configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Name of the run, for its directory.
    pub run_name: String,
    /// The array and its dataflow.
    pub array: Systolic,
    /// Words of the SRAMs for ifmap, filter and ofmap, both halves of the double buffer together.
    pub sram_words: [u64; 3],
    /// How DRAM answers.
    pub interface: Interface,
    /// Words a cycle of the SRAM banks, which SCALE-Sim v3.0.0 takes for the read bandwidth of DRAM.
    pub banks: Option<Banks>,
    /// Sparse weights, if they are switched on.
    pub sparse: Option<SparseWeights>,
}

/// How DRAM answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interface {
    /// As fast as the array asks: the bandwidth is a result.
    Calc,
    /// So many words a cycle: one number for all, or one each for ifmap, filter and ofmap. The array waits.
    User([u64; 3]),
}

/// Words a cycle of the SRAM banks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Banks {
    /// Of the ifmap SRAM.
    pub ifmap: u64,
    /// Of the filter SRAM.
    pub filter: u64,
}

/// How sparse weights are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SparseWeights {
    /// The index format.
    pub format: SparseFormat,
    /// Row-wise sparsity ("OptimizedMapping"): weights in a block, and the seed of the random patterns.
    pub row_wise: Option<(u64, u32)>,
}

/// Index formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SparseFormat {
    /// Compressed sparse row.
    Csr,
    /// Compressed sparse column.
    Csc,
    /// Blocked ELLPACK: a position in its block for every weight.
    EllpackBlock,
}

impl SparseFormat {
    /// The word of the cfg file.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Csr => "csr",
            Self::Csc => "csc",
            Self::EllpackBlock => "ellpack_block",
        }
    }
}

const FLAG: &[(&str, bool)] = &[("true", true), ("false", false)];

impl Config {
    /// Reads a cfg file. Keys that this program does not use are left alone.
    ///
    /// # Errors
    /// Every fault at its place.
    pub fn read(source: &Source) -> Result<Self, Faults> {
        let mut ini = Ini::read(source);
        let config = fields(&mut ini);
        match config {
            Some(config) if ini.faults.is_empty() => Ok(config),
            _ => Err(source.faults(ini.faults)),
        }
    }
}

fn fields(ini: &mut Ini) -> Option<Config> {
    let named = ini.need("general", "it holds `run_name`");
    let shaped = ini.need(
        "architecture_presets",
        "it holds the array, its SRAMs and its dataflow",
    );
    let preset = ini.need("run_presets", "it holds `InterfaceBandwidth`");
    let run_name = named.then(|| ini.value("general", "run_name")).flatten();
    let array = shaped.then(|| array(ini)).flatten();
    let sram_words = shaped.then(|| srams(ini)).flatten();
    let interface = preset.then(|| interface(ini)).flatten();
    let banks = if ini.has("layout") { banks(ini) } else { None };
    let sparse = if ini.has("sparsity") { sparse(ini) } else { None };
    Some(Config {
        run_name: run_name?.0,
        array: array?,
        sram_words: sram_words?,
        interface: interface?,
        banks,
        sparse,
    })
}

fn array(ini: &mut Ini) -> Option<Systolic> {
    let section = "architecture_presets";
    let rows = ini.count(section, "ArrayHeight", (1, MOST_PES));
    let cols = ini.count(section, "ArrayWidth", (1, MOST_PES));
    let dataflow = ini.word(
        section,
        "Dataflow",
        &[
            ("ws", Dataflow::WeightStationary),
            ("os", Dataflow::OutputStationary),
            ("is", Dataflow::InputStationary),
        ],
    );
    Some(Systolic {
        rows: u32::try_from(rows?).ok()?,
        cols: u32::try_from(cols?).ok()?,
        dataflow: dataflow?,
    })
}

fn srams(ini: &mut Ini) -> Option<[u64; 3]> {
    let sizes = ["IfmapSramSzkB", "FilterSramSzkB", "OfmapSramSzkB"]
        .map(|key| ini.count("architecture_presets", key, (1, MOST_KB)));
    let [Some(ifmap), Some(filter), Some(ofmap)] = sizes else {
        return None;
    };
    Some([ifmap, filter, ofmap].map(|kb| kb * WORDS_PER_KB))
}

fn interface(ini: &mut Ini) -> Option<Interface> {
    let user = ini.word(
        "run_presets",
        "InterfaceBandwidth",
        &[("CALC", false), ("USER", true)],
    )?;
    // a DRAM trace of another tool is not read here
    if let Some((true, span)) = optional_flag(ini, "run_presets", "UseRamulatorTrace") {
        ini.faults.push(Fault::new(
            span,
            "`UseRamulatorTrace` is `True`, and DRAM traces are not read here",
            "write `False`; the bandwidth of DRAM is then `Bandwidth`",
        ));
    }
    if !user {
        return Some(Interface::Calc);
    }
    let (text, span) = ini.value("architecture_presets", "Bandwidth")?;
    let numbers: Option<Vec<u64>> = text
        .split(',')
        .map(|n| n.trim().parse().ok().filter(|n| (1..=MOST_BANDWIDTH).contains(n)))
        .collect();
    match numbers.as_deref() {
        Some(&[all]) => Some(Interface::User([all; 3])),
        Some(&[ifmap, filter, ofmap]) => Some(Interface::User([ifmap, filter, ofmap])),
        _ => {
            ini.faults.push(Fault::new(
                span,
                format!("`Bandwidth` is `{text}`"),
                format!(
                    "write words a cycle from 1 to {MOST_BANDWIDTH}: one number, or one each for ifmap, filter and ofmap with commas between"
                ),
            ));
            None
        }
    }
}

fn optional_flag(ini: &mut Ini, section: &str, key: &str) -> Option<(bool, std::ops::Range<usize>)> {
    if !ini.holds(section, key) {
        return None;
    }
    let (_, span) = ini.value(section, key)?;
    Some((ini.word(section, key, FLAG)?, span))
}

fn banks(ini: &mut Ini) -> Option<Banks> {
    for key in ["IfmapCustomLayout", "FilterCustomLayout"] {
        if let Some((true, span)) = optional_flag(ini, "layout", key) {
            ini.faults.push(Fault::new(
                span,
                format!("`{key}` is `True`, and layouts of SRAM banks are not modelled"),
                "write `False`; SRAM banks never conflict then",
            ));
        }
    }
    let ifmap = ini.count("layout", "IfmapSRAMBankBandwidth", (1, MOST_BANDWIDTH));
    let filter = ini.count("layout", "FilterSRAMBankBandwidth", (1, MOST_BANDWIDTH));
    Some(Banks {
        ifmap: ifmap?,
        filter: filter?,
    })
}

/// How sparse weights are held, where they are switched on; faults are noted.
fn sparse(ini: &mut Ini) -> Option<SparseWeights> {
    let section = "sparsity";
    if !ini.word(section, "SparsitySupport", FLAG)? {
        return None;
    }
    let format = ini.word(
        section,
        "SparseRep",
        &[
            ("csr", SparseFormat::Csr),
            ("csc", SparseFormat::Csc),
            ("ellpack_block", SparseFormat::EllpackBlock),
        ],
    );
    let row_wise = if ini.word(section, "OptimizedMapping", FLAG)? {
        let block = ini.count(section, "BlockSize", (2, MOST_PES));
        let seed = ini.count(section, "RandomNumberGeneratorSeed", (0, u64::from(u32::MAX)));
        Some((block?, u32::try_from(seed?).ok()?))
    } else {
        None
    };
    Some(SparseWeights {
        format: format?,
        row_wise,
    })
}
