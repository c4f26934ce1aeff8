//! PEs that each hold a slice of the weights: what a profile says of them.

use super::{EngineForm, EngineKind};
use crate::compression::encoding::Encoding;
use crate::hardware::read::{MAX_COUNT, Reader};
use crate::hardware::resources::{Decoder, Fabric, Resources, ResourcesError, sparse_pe};
use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

/// Largest number of PEs of a sliced engine.
const MAX_PES: u64 = 1_048_576;

/// PEs that each hold a slice of the weights and meet at a barrier or run ahead by a FIFO.
#[derive(Debug, Clone, PartialEq)]
pub struct Slices {
    /// PEs.
    pub pes: u32,
    /// Multiplications one PE starts per entry slot.
    pub macs_per_pe: u32,
    /// Cycles between two entries of one PE (initiation interval).
    pub cycles_per_entry: u32,
    /// How weights are dealt to PEs.
    pub partition: Partition,
    /// The encoding its decoder reads; `None` is a dense engine that visits every weight.
    pub index: Option<Encoding>,
    /// Index bits that the decoder of a PE reads a cycle, ahead of its multipliers; `None`: as many as they ask for.
    pub decode_bits_per_cycle: Option<u32>,
    /// How PEs wait for each other.
    pub synchronisation: Synchronisation,
    /// Outputs one PE can hold; a row-interleaved engine runs taller matrices in blocks of `pes` times as many rows.
    /// `None`: as many as there are.
    pub accumulators: Option<u32>,
    /// Whether an entry (or column) whose activation is zero takes no time.
    pub skip_zero_activations: bool,
    /// The limit of the feature memory, if there is one.
    pub feature_port: Option<FeaturePort>,
}

/// How weights are dealt to PEs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partition {
    /// PE i holds the i-th contiguous run of the row-major weights, one index chain per PE (SCNN-like).
    Contiguous,
    /// Row i of the GEMM matrix belongs to PE i mod PEs; one index chain per PE and column (EIE).
    RowInterleaved,
}

/// How PEs wait for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Synchronisation {
    /// All PEs meet after every output position.
    Barrier,
    /// PEs meet only at the end of the layer (contiguous), or run ahead by this many columns (row-interleaved).
    Fifo {
        /// Entries of a PE's queue.
        depth: u32,
    },
}

/// The feature memory serves groups of weights: one word per group in which any weight is alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeaturePort {
    /// Weights that share one fetched feature.
    pub group: u32,
    /// Words a cycle.
    pub words_per_cycle: u32,
}

/// How weights are dealt to PEs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "Partition")]
pub(crate) enum RawPartition {
    /// PE i holds the i-th contiguous run of the row-major weights, one index chain per PE.
    Contiguous,
    /// Row i belongs to PE i mod PEs; one index chain per PE and column.
    RowInterleaved,
}

/// How PEs wait for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "Synchronisation")]
pub(crate) enum RawSynchronisation {
    /// All PEs meet after every output position.
    Barrier,
    /// PEs meet only at the end of the layer; for contiguous slices.
    LayerEnd,
    /// PEs run ahead by `fifo-depth` columns; for row-interleaved slices.
    Fifo,
}

/// PEs that each hold a slice of the weights.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Slices")]
pub(crate) struct RawSlices {
    /// PEs.
    #[schemars(with = "u32", range(min = 1, max = 1_048_576))]
    pub(crate) pes: Spanned<u64>,
    /// Multiplications one PE starts per entry slot.
    #[schemars(with = "u32", range(min = 1, max = 65_536))]
    pub(crate) macs_per_pe: Spanned<u64>,
    /// Cycles between two entries of one PE.
    #[schemars(with = "u32", range(min = 1, max = 65_536))]
    pub(crate) cycles_per_entry: Spanned<u64>,
    /// How weights are dealt to PEs.
    pub(crate) partition: RawPartition,
    /// The encoding the decoder reads; without it the engine is dense and visits every weight.
    #[schemars(with = "Option<Encoding>")]
    pub(crate) index: Option<Spanned<Encoding>>,
    /// Index bits that the decoder of a PE reads a cycle, ahead of its multipliers; without it as many as they ask
    /// for. Golomb-Rice codes need it.
    #[schemars(with = "Option<u32>", range(min = 1, max = 65_536))]
    pub(crate) decode_bits_per_cycle: Option<Spanned<u64>>,
    /// How PEs wait for each other.
    #[schemars(with = "RawSynchronisation")]
    pub(crate) synchronisation: Spanned<RawSynchronisation>,
    /// Entries of a PE's queue; only with `synchronisation = "fifo"`.
    #[schemars(with = "Option<u32>", range(min = 1, max = 65_536))]
    pub(crate) fifo_depth: Option<Spanned<u64>>,
    /// Outputs one PE can hold; only with `partition = "row-interleaved"`. Taller matrices run in blocks.
    #[schemars(with = "Option<u32>", range(min = 1, max = 65_536))]
    pub(crate) accumulators: Option<Spanned<u64>>,
    /// Whether an entry or column whose activation is zero takes no time.
    pub(crate) skip_zero_activations: bool,
    /// The limit of the feature memory, if there is one.
    pub(crate) feature_port: Option<RawFeaturePort>,
    /// Where the structure comes from.
    #[schemars(with = "String", length(min = 1))]
    pub(crate) source: Spanned<String>,
}

/// The feature memory serves groups of weights: one word per group in which any weight is alive.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "FeaturePort")]
pub(crate) struct RawFeaturePort {
    /// Weights that share one fetched feature.
    #[schemars(with = "u32", range(min = 1, max = 65_536))]
    pub(crate) group: Spanned<u64>,
    /// Words a cycle.
    #[schemars(with = "u32", range(min = 1, max = 65_536))]
    pub(crate) words_per_cycle: Spanned<u64>,
    /// Where the limit comes from.
    #[schemars(with = "String", length(min = 1))]
    pub(crate) source: Spanned<String>,
}

impl RawSlices {
    /// The checked engine.
    pub(super) fn read(&self, reader: &mut Reader) -> Option<Slices> {
        let pes = reader.count(&self.pes, "`pes`", MAX_PES);
        let macs_per_pe = reader.count(&self.macs_per_pe, "`macs-per-pe`", MAX_COUNT);
        let cycles_per_entry = reader.count(&self.cycles_per_entry, "`cycles-per-entry`", MAX_COUNT);
        reader.source(&self.source);
        let partition = match self.partition {
            RawPartition::Contiguous => Partition::Contiguous,
            RawPartition::RowInterleaved => Partition::RowInterleaved,
        };
        let index = self.read_index(reader, partition);
        let decode_bits_per_cycle = match &self.decode_bits_per_cycle {
            None => Some(None),
            Some(raw) => reader.count(raw, "`decode-bits-per-cycle`", MAX_COUNT).map(Some),
        };
        let synchronisation = self.synchronisation(reader);
        let accumulators = self.read_accumulators(reader);
        let feature_port = match &self.feature_port {
            None => Some(None),
            Some(port) => port.read(reader).map(Some),
        };
        Some(Slices {
            pes: pes?,
            macs_per_pe: macs_per_pe?,
            cycles_per_entry: cycles_per_entry?,
            partition,
            index: index?,
            decode_bits_per_cycle: decode_bits_per_cycle?,
            synchronisation: synchronisation?,
            accumulators: accumulators?,
            skip_zero_activations: self.skip_zero_activations,
            feature_port: feature_port?,
        })
    }

    /// The decoder's encoding; `dense` and an absent index are the same engine.
    #[expect(clippy::option_option, reason = "absent and faulty are different answers")]
    fn read_index(&self, reader: &mut Reader, partition: Partition) -> Option<Option<Encoding>> {
        let Some(raw) = &self.index else { return Some(None) };
        let rows = partition == Partition::RowInterleaved;
        let (message, cure) = match *raw.get_ref() {
            Encoding::Dense => return Some(None),
            Encoding::RelativeIndex { bits } if !(1..=16).contains(&bits) => (
                format!("a relative index of {bits} bits cannot be built"),
                "use 1 to 16 bits; published engines use 4 or 5",
            ),
            Encoding::NM { .. } => (
                "slices have no slots for N of M".into(),
                "give the engine `kind = \"structured\"`",
            ),
            Encoding::Csr if rows => (
                "columns are broadcast, and `csr` finds rows only".into(),
                "use `csc`, or deal the weights in `contiguous` slices",
            ),
            Encoding::Coordinate if rows && self.skip_zero_activations => (
                "skipped columns of `coordinate` cannot be passed over: it has no pointers".into(),
                "use `csc`, or `skip-zero-activations = false`",
            ),
            Encoding::GolombRice if self.decode_bits_per_cycle.is_none() => (
                "a decoder of Golomb-Rice codes reads bit after bit".into(),
                "add `decode-bits-per-cycle`, as in `decode-bits-per-cycle = 4`",
            ),
            encoding => match encoding.check() {
                Ok(()) => return Some(Some(encoding)),
                Err(error) => (error.to_string(), "bring its parameters into their ranges"),
            },
        };
        reader.fault(raw.span(), message, cure);
        None
    }

    /// Accumulators a PE: `None` is a fault.
    #[expect(clippy::option_option, reason = "absent and faulty are different answers")]
    fn read_accumulators(&self, reader: &mut Reader) -> Option<Option<u32>> {
        let Some(raw) = &self.accumulators else {
            return Some(None);
        };
        if matches!(self.partition, RawPartition::Contiguous) {
            reader.fault(
                raw.span(),
                "`accumulators` with contiguous slices",
                "leave it out: only row-interleaved PEs own rows",
            );
            return None;
        }
        reader.count(raw, "`accumulators`", MAX_COUNT).map(Some)
    }

    fn synchronisation(&self, reader: &mut Reader) -> Option<Synchronisation> {
        let at = self.synchronisation.span();
        let kind = *self.synchronisation.get_ref();
        let depth = self.fifo_depth.as_ref();
        if let (RawSynchronisation::Barrier | RawSynchronisation::LayerEnd, Some(depth)) = (kind, depth) {
            reader.fault(
                depth.span(),
                "`fifo-depth` without a FIFO",
                "leave it out, or write `synchronisation = \"fifo\"`",
            );
            return None;
        }
        match (kind, self.partition) {
            (RawSynchronisation::Barrier, _) => Some(Synchronisation::Barrier),
            // the simulator reads `Fifo` of contiguous slices as one meeting at the layer's end, whatever the depth
            (RawSynchronisation::LayerEnd, RawPartition::Contiguous) => {
                Some(Synchronisation::Fifo { depth: 1 })
            }
            (RawSynchronisation::LayerEnd, RawPartition::RowInterleaved) => {
                reader.fault(
                    at,
                    "row-interleaved PEs share broadcast columns and cannot run free until the layer's end",
                    "write `synchronisation = \"fifo\"` with a `fifo-depth`, or deal the weights in `contiguous` slices",
                );
                None
            }
            (RawSynchronisation::Fifo, RawPartition::Contiguous) => {
                reader.fault(
                    at,
                    "contiguous slices have no columns to queue",
                    "write `synchronisation = \"layer-end\"` or `\"barrier\"`",
                );
                None
            }
            (RawSynchronisation::Fifo, RawPartition::RowInterleaved) => {
                let Some(depth) = depth else {
                    reader.fault(
                        at,
                        "a FIFO needs its depth",
                        "add `fifo-depth`, as in `fifo-depth = 8`",
                    );
                    return None;
                };
                reader
                    .count(depth, "`fifo-depth`", MAX_COUNT)
                    .map(|depth| Synchronisation::Fifo { depth })
            }
        }
    }
}

impl RawFeaturePort {
    fn read(&self, reader: &mut Reader) -> Option<FeaturePort> {
        let group = reader.count(&self.group, "`group`", MAX_COUNT);
        let words_per_cycle = reader.count(&self.words_per_cycle, "`words-per-cycle`", MAX_COUNT);
        reader.source(&self.source);
        Some(FeaturePort {
            group: group?,
            words_per_cycle: words_per_cycle?,
        })
    }
}

impl Slices {
    /// A synchronisation under which PEs wait less for each other.
    fn looser(&self) -> Option<(String, Synchronisation)> {
        match (self.partition, self.synchronisation) {
            (Partition::Contiguous, Synchronisation::Barrier) => Some((
                "meet at the layer's end only".into(),
                Synchronisation::Fifo { depth: 1 },
            )),
            (Partition::RowInterleaved, Synchronisation::Barrier) => {
                Some(("queues of 8".into(), Synchronisation::Fifo { depth: 8 }))
            }
            (Partition::RowInterleaved, Synchronisation::Fifo { depth }) => {
                let twice = depth.saturating_mul(2).max(2);
                Some((
                    format!("queues of {depth} → {twice}"),
                    Synchronisation::Fifo { depth: twice },
                ))
            }
            (Partition::Contiguous, Synchronisation::Fifo { .. }) => None,
        }
    }
}

impl Slices {
    /// The same with a decoder of twice the rate, if it has one.
    fn faster_decoder(&self) -> Option<(String, Self)> {
        let bits = self.decode_bits_per_cycle?;
        let twice = bits.saturating_mul(2);
        let slices = Self {
            decode_bits_per_cycle: Some(twice),
            ..self.clone()
        };
        Some((format!("decoder {bits} → {twice} bits a cycle"), slices))
    }
}

impl EngineForm for Slices {
    fn encoding(&self) -> Encoding {
        self.index.unwrap_or(Encoding::Dense)
    }

    fn mapping(&self) -> String {
        let partition = match self.partition {
            Partition::Contiguous => "contiguous",
            Partition::RowInterleaved => "row-interleaved",
        };
        let wait = match self.synchronisation {
            Synchronisation::Barrier => "barrier".into(),
            Synchronisation::Fifo { depth } => format!("fifo-{depth}"),
        };
        format!("{partition}-{}-{wait}", self.pes)
    }

    fn label(&self) -> String {
        let kind = if self.index.is_some() { "sparse" } else { "dense" };
        format!("{} {kind} PEs", self.pes)
    }

    fn describe(&self) -> Vec<(&'static str, String)> {
        let mut lines = Vec::new();
        let partition = match self.partition {
            Partition::Contiguous => "contiguous",
            Partition::RowInterleaved => "row-interleaved",
        };
        lines.push(("array", format!("{} PEs, {partition} slices", self.pes)));
        lines.push((
            "rate",
            format!(
                "{} MACs an entry, {} cycles an entry",
                self.macs_per_pe, self.cycles_per_entry
            ),
        ));
        let index = match self.index {
            None | Some(Encoding::Dense) => "none: visits every weight".into(),
            Some(Encoding::RelativeIndex { bits }) => format!("relative index of {bits} bits"),
            Some(Encoding::BlockMap { rows, cols }) => format!("map of {rows} x {cols} blocks"),
            Some(other) => other.word().into(),
        };
        lines.push(("index", index));
        if let Some(bits) = self.decode_bits_per_cycle {
            lines.push(("decoder", format!("{bits} index bits a cycle")));
        }
        let wait = match (self.synchronisation, self.partition) {
            (Synchronisation::Barrier, _) => "barrier after every output position".into(),
            (Synchronisation::Fifo { .. }, Partition::Contiguous) => "at the end of the layer".into(),
            (Synchronisation::Fifo { depth }, Partition::RowInterleaved) => {
                format!("queues of {depth}")
            }
        };
        lines.push(("synchronisation", wait));
        if let Some(accumulators) = self.accumulators {
            lines.push(("accumulators", format!("{accumulators} a PE")));
        }
        let skips = if self.skip_zero_activations {
            "skipped"
        } else {
            "multiplied"
        };
        lines.push(("zero activations", skips.into()));
        if let Some(port) = self.feature_port {
            lines.push((
                "feature port",
                format!(
                    "{} words a cycle, {} weights share a word",
                    port.words_per_cycle, port.group
                ),
            ));
        }
        lines
    }

    fn changes(&self, cause: &str) -> Vec<(String, EngineKind)> {
        let mut changes = Vec::new();
        let mut change = |what: String, slices: Self| changes.push((what, EngineKind::Slices(slices)));
        let pes = self.pes.saturating_mul(2).min(MAX_PES as u32);
        let more_pes = || (format!("{} → {pes} PEs", self.pes), Self { pes, ..self.clone() });
        match cause {
            "compute" => {
                let (what, slices) = more_pes();
                change(what, slices);
                if !self.skip_zero_activations {
                    change(
                        "skip zero activations".into(),
                        Self {
                            skip_zero_activations: true,
                            ..self.clone()
                        },
                    );
                }
            }
            "decode" => {
                if self.cycles_per_entry > 1 {
                    let cycles_per_entry = self.cycles_per_entry - 1;
                    change(
                        format!("{} → {cycles_per_entry} cycles an entry", self.cycles_per_entry),
                        Self {
                            cycles_per_entry,
                            ..self.clone()
                        },
                    );
                }
                if let Some((what, slices)) = self.faster_decoder() {
                    change(what, slices);
                }
                if let Some(Encoding::RelativeIndex { bits }) = self.index
                    && bits < 16
                {
                    change(
                        format!("index of {bits} → {} bits", bits + 1),
                        Self {
                            index: Some(Encoding::RelativeIndex { bits: bits + 1 }),
                            ..self.clone()
                        },
                    );
                }
                let (what, slices) = more_pes();
                change(what, slices);
            }
            "imbalance" => {
                if let Some((what, synchronisation)) = self.looser() {
                    change(
                        what,
                        Self {
                            synchronisation,
                            ..self.clone()
                        },
                    );
                }
                let half = (self.pes / 2).max(1);
                let twice = self.macs_per_pe.saturating_mul(2);
                change(
                    format!(
                        "{} PEs of {} MACs → {half} of {twice}",
                        self.pes, self.macs_per_pe
                    ),
                    Self {
                        pes: half,
                        macs_per_pe: twice,
                        ..self.clone()
                    },
                );
                let (what, slices) = more_pes();
                change(what, slices);
            }
            "unused" => {
                let (what, slices) = more_pes();
                change(what, slices);
            }
            "feature_port" => {
                if let Some(port) = self.feature_port {
                    let words_per_cycle = port.words_per_cycle.saturating_mul(2);
                    change(
                        format!(
                            "feature port {} → {words_per_cycle} words a cycle",
                            port.words_per_cycle
                        ),
                        Self {
                            feature_port: Some(FeaturePort {
                                words_per_cycle,
                                ..port
                            }),
                            ..self.clone()
                        },
                    );
                }
            }
            _ => {}
        }
        changes
    }

    fn resources(&self, name: &str, fabric: &Fabric) -> Result<Resources, ResourcesError> {
        let mac = fabric.mac();
        // only row-interleaved PEs have a queue: contiguous slices run free until the layer's end
        let fifo_depth = match (self.synchronisation, self.partition) {
            (Synchronisation::Fifo { depth }, Partition::RowInterleaved) => depth,
            _ => 0,
        };
        let first = match self.index {
            None | Some(Encoding::Dense) => mac,
            Some(Encoding::RelativeIndex { bits }) => {
                let decoder = Decoder {
                    index_bits: bits.into(),
                    fifo_depth,
                };
                sparse_pe(fabric.family, fabric.widths, decoder, fabric.multiplier)
            }
            Some(_) => {
                return Err(ResourcesError::UnknownDecoder { engine: name.into() });
            }
        };
        let further = mac.times(u64::from(self.macs_per_pe).saturating_sub(1))?;
        Ok(first.plus(further)?.times(self.pes.into())?)
    }
}
