//! Engines: one array each, unique names, PEs that can wait for each other as their slices are dealt.

use super::figures::{MAX_COUNT, Reader};
use crate::compression::encoding::Encoding;
use crate::hardware::raw::{
    RawDataflow, RawEngine, RawFeaturePort, RawPartition, RawProfile, RawSlices, RawSynchronisation,
    RawSystolic,
};
use crate::hardware::{
    Dataflow, Engine, EngineKind, FeaturePort, Partition, Slices, Synchronisation, Systolic,
};
use toml::Spanned;

/// Largest number of PEs of a sliced engine.
const MAX_PES: u64 = 1_048_576;

impl Reader {
    pub(super) fn engines(&mut self, raw: &RawProfile) -> Option<Vec<Engine>> {
        if raw.engines.is_empty() {
            self.fault(
                raw.name.span(),
                "the profile has no engine",
                "add `[[engines]]` with a `systolic` or a `slices` table",
            );
            return None;
        }
        let names: Vec<_> = raw.engines.iter().map(|e| &e.get_ref().name).collect();
        self.unique(&names, "an engine");
        for engine in &raw.engines {
            if let (Some(pe_area), None) = (&engine.get_ref().pe_area, &raw.area) {
                self.fault(
                    pe_area.value.span(),
                    "an engine has a `pe-area`, but the profile has no `[area]`",
                    "add `[area]` with `sram-per-bit`, or leave `pe-area` out; area is modelled whole or not at all",
                );
            }
        }
        let engines: Vec<_> = raw.engines.iter().map(|e| self.engine(e)).collect();
        engines.into_iter().collect()
    }

    fn engine(&mut self, spanned: &Spanned<RawEngine>) -> Option<Engine> {
        let raw = spanned.get_ref();
        let name = self.text(&raw.name, "the engine's name", "give the engine a name");
        let clock = self.sourced(&raw.clock);
        let pe_area = self.optional(raw.pe_area.as_ref());
        let systolic = raw.systolic.as_ref().map(|s| self.systolic(s));
        let slices = raw.slices.as_ref().map(|s| self.slices(s));
        let kind = match (systolic, slices) {
            (Some(systolic), None) => systolic.map(EngineKind::Systolic),
            (None, Some(slices)) => slices.map(EngineKind::Slices),
            (None, None) => {
                self.fault(
                    raw.name.span(),
                    "the engine has no array",
                    "add a `systolic` or a `slices` table to it",
                );
                None
            }
            (Some(_), Some(_)) => {
                self.fault(
                    raw.name.span(),
                    "the engine has both a `systolic` and a `slices` table",
                    "make two engines of it; a layer takes the cheaper one",
                );
                None
            }
        };
        Some(Engine {
            name: name?,
            clock: clock?,
            pe_area: pe_area?,
            kind: kind?,
        })
    }

    fn systolic(&mut self, raw: &RawSystolic) -> Option<Systolic> {
        let rows = self.count(&raw.rows, "`rows`", MAX_COUNT);
        let cols = self.count(&raw.cols, "`cols`", MAX_COUNT);
        self.source(&raw.source);
        let dataflow = match raw.dataflow {
            RawDataflow::WeightStationary => Dataflow::WeightStationary,
            RawDataflow::OutputStationary => Dataflow::OutputStationary,
            RawDataflow::InputStationary => Dataflow::InputStationary,
        };
        Some(Systolic {
            rows: rows?,
            cols: cols?,
            dataflow,
        })
    }

    fn slices(&mut self, raw: &RawSlices) -> Option<Slices> {
        let pes = self.count(&raw.pes, "`pes`", MAX_PES);
        let macs_per_pe = self.count(&raw.macs_per_pe, "`macs-per-pe`", MAX_COUNT);
        let cycles_per_entry = self.count(&raw.cycles_per_entry, "`cycles-per-entry`", MAX_COUNT);
        self.source(&raw.source);
        let partition = match raw.partition {
            RawPartition::Contiguous => Partition::Contiguous,
            RawPartition::RowInterleaved => Partition::RowInterleaved,
        };
        let index = self.index(raw.index.as_ref());
        let synchronisation = self.synchronisation(raw);
        let feature_port = match &raw.feature_port {
            None => Some(None),
            Some(port) => self.feature_port(port).map(Some),
        };
        Some(Slices {
            pes: pes?,
            macs_per_pe: macs_per_pe?,
            cycles_per_entry: cycles_per_entry?,
            partition,
            index: index?,
            synchronisation: synchronisation?,
            skip_zero_activations: raw.skip_zero_activations,
            feature_port: feature_port?,
        })
    }

    /// The decoder's encoding; `dense` and an absent index are the same engine.
    #[expect(clippy::option_option, reason = "absent and faulty are different answers")]
    fn index(&mut self, raw: Option<&Spanned<Encoding>>) -> Option<Option<Encoding>> {
        let Some(raw) = raw else { return Some(None) };
        match *raw.get_ref() {
            Encoding::Dense => Some(None),
            Encoding::RelativeIndex { bits } if !(1..=16).contains(&bits) => {
                self.fault(
                    raw.span(),
                    format!("a relative index of {bits} bits cannot be built"),
                    "use 1 to 16 bits; published engines use 4 or 5",
                );
                None
            }
            encoding => Some(Some(encoding)),
        }
    }

    fn synchronisation(&mut self, raw: &RawSlices) -> Option<Synchronisation> {
        let at = raw.synchronisation.span();
        let kind = *raw.synchronisation.get_ref();
        let depth = raw.fifo_depth.as_ref();
        if let (RawSynchronisation::Barrier | RawSynchronisation::LayerEnd, Some(depth)) = (kind, depth) {
            self.fault(
                depth.span(),
                "`fifo-depth` without a FIFO",
                "leave it out, or write `synchronisation = \"fifo\"`",
            );
            return None;
        }
        match (kind, raw.partition) {
            (RawSynchronisation::Barrier, _) => Some(Synchronisation::Barrier),
            // the simulator reads `Fifo` of contiguous slices as one meeting at the layer's end, whatever the depth
            (RawSynchronisation::LayerEnd, RawPartition::Contiguous) => {
                Some(Synchronisation::Fifo { depth: 1 })
            }
            (RawSynchronisation::LayerEnd, RawPartition::RowInterleaved) => {
                self.fault(
                    at,
                    "row-interleaved PEs share broadcast columns and cannot run free until the layer's end",
                    "write `synchronisation = \"fifo\"` with a `fifo-depth`, or deal the weights in `contiguous` slices",
                );
                None
            }
            (RawSynchronisation::Fifo, RawPartition::Contiguous) => {
                self.fault(
                    at,
                    "contiguous slices have no columns to queue",
                    "write `synchronisation = \"layer-end\"` or `\"barrier\"`",
                );
                None
            }
            (RawSynchronisation::Fifo, RawPartition::RowInterleaved) => {
                let Some(depth) = depth else {
                    self.fault(
                        at,
                        "a FIFO needs its depth",
                        "add `fifo-depth`, as in `fifo-depth = 8`",
                    );
                    return None;
                };
                self.count(depth, "`fifo-depth`", MAX_COUNT)
                    .map(|depth| Synchronisation::Fifo { depth })
            }
        }
    }

    fn feature_port(&mut self, raw: &RawFeaturePort) -> Option<FeaturePort> {
        let group = self.count(&raw.group, "`group`", MAX_COUNT);
        let words_per_cycle = self.count(&raw.words_per_cycle, "`words-per-cycle`", MAX_COUNT);
        self.source(&raw.source);
        Some(FeaturePort {
            group: group?,
            words_per_cycle: words_per_cycle?,
        })
    }
}
