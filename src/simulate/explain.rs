//! Why a layer takes the time it takes, and what would change it: each proposal is simulated before it is made.

use super::cost::LayerCost;
use super::engine::{self, Found};
use super::error::SimulateError;
use super::layer::{Pick, layer, layer_on, settle};
use super::memory::Layout;
use super::work::LayerWork;
use crate::hardware::{DramRows, Memory, MemoryKind, Ports, Profile, TensorKind};
use crate::units::{Capacity, mul};

/// One cause of a layer's cycles.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cause {
    /// As in the columns `cycles_*` of the reports.
    pub name: &'static str,
    /// Its cycles; the causes of a layer sum to its total.
    pub cycles: u64,
    /// Amdahl's ceiling: the speed-up if this cause vanished and nothing else moved. `None` where it is everything.
    pub ceiling: Option<f64>,
}

/// A change of the hardware, simulated.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// What is changed, as in `weight-buffer: port 8192 → 16384 bits a cycle`.
    pub what: String,
    /// The cause that it is to lower.
    pub cause: &'static str,
    /// The layer's cost with the change, or why it cannot run then.
    pub outcome: Result<LayerCost, SimulateError>,
    /// Time without the change over time with it; 1 where it cannot run.
    pub speedup: f64,
    /// Energy with the change over energy without it.
    pub energy_ratio: f64,
}

/// A layer on its cheapest engine, taken apart.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// Place of the engine in the profile.
    pub engine: usize,
    /// Its cost.
    pub cost: LayerCost,
    /// The formula of the array's cycles and the same with its numbers, step by step.
    pub formula: Vec<String>,
    /// All causes with cycles, the largest first; of equals the one that comes first in [`super::Causes::parts`].
    pub causes: Vec<Cause>,
    /// Changes, those against the largest cause first.
    pub changes: Vec<Change>,
}

/// A change helps if it saves more than this portion of the time.
const WORTH: f64 = 0.02;

impl Explanation {
    /// The change that helps most against the largest cause against which any does.
    #[must_use]
    pub fn advice(&self) -> Option<&Change> {
        let against = |cause: &Cause| {
            let mut best: Option<&Change> = None;
            for change in self.changes.iter().filter(|c| c.cause == cause.name) {
                if change.speedup > best.map_or(1.0 + WORTH, |b| b.speedup) {
                    best = Some(change);
                }
            }
            best
        };
        self.causes.iter().find_map(against)
    }
}

/// Explains a layer on the engine that it takes: the causes, the formula, and what each change of the engine and of
/// the memories would do, simulated one at a time.
///
/// # Errors
/// As [`layer`].
pub fn explain(work: &LayerWork, profile: &Profile, pick: Pick) -> Result<Explanation, SimulateError> {
    let outcome = layer(work, profile, pick)?;
    let (place, cost) = (outcome.engine, outcome.cost);
    let unit = &profile.engines[place];
    let model = engine::model(&unit.kind);
    let array = settle(
        work,
        profile,
        &Layout::new(&profile.memories),
        unit,
        &Found::default(),
    )?
    .array;
    let mut formula = model.formula(work, &array);
    formula.push(format!(
        "time = {} array cycles + {} stalled = {} cycles at {} = {:.4e} s",
        array.cycles,
        cost.cycles - array.cycles,
        cost.cycles,
        unit.clock.value,
        cost.seconds
    ));
    let mut causes: Vec<Cause> = cost
        .causes
        .parts()
        .into_iter()
        .filter(|&(_, cycles)| cycles > 0)
        .map(|(name, cycles)| Cause {
            name,
            cycles,
            ceiling: (cycles < cost.cycles).then(|| cost.cycles as f64 / (cost.cycles - cycles) as f64),
        })
        .collect();
    causes.sort_by_key(|c| std::cmp::Reverse(c.cycles)); // stable: equals keep their order
    let mut changes: Vec<Change> = Vec::new();
    for cause in &causes {
        let usual = changed_profiles(profile, place, cause.name);
        let moving = moving(profile, cause.name);
        let usual_changes = usual.len();
        for (i, (what, changed)) in usual.into_iter().chain(moving).enumerate() {
            if changes.iter().any(|c| c.what == what) {
                continue;
            }
            let outcome = layer_on(work, &changed, place);
            let (speedup, energy_ratio) = outcome.as_ref().map_or((1.0, 1.0), |after| {
                (
                    cost.seconds / after.seconds,
                    after.energy.total() / cost.energy.total(),
                )
            });
            if i >= usual_changes && speedup <= 1.0 + WORTH {
                continue; // named only where it helps
            }
            changes.push(Change {
                what,
                cause: cause.name,
                outcome,
                speedup,
                energy_ratio,
            });
        }
    }
    Ok(Explanation {
        engine: place,
        cost,
        formula,
        causes,
        changes,
    })
}

fn kib(capacity: Capacity) -> f64 {
    capacity.value() / 8192.0
}

/// Profiles with one thing changed that may lower a cause.
fn changed_profiles(profile: &Profile, place: usize, cause: &str) -> Vec<(String, Profile)> {
    let engine = &profile.engines[place];
    let mut changed: Vec<(String, Profile)> = engine
        .kind
        .changes(cause)
        .into_iter()
        .map(|(what, kind)| {
            let mut other = profile.clone();
            other.engines[place].kind = kind;
            (format!("{}: {what}", engine.name), other)
        })
        .collect();
    let Some(tensor) = stalled(cause) else {
        return changed;
    };
    for (m, memory) in profile.memories.iter().enumerate() {
        let dram = matches!(memory.kind, MemoryKind::Dram { .. });
        if !dram && !memory.holds.contains(&tensor) {
            continue;
        }
        let port = memory.bits_per_cycle.value;
        if let Ok(twice) = mul(port, 2) {
            let mut other = profile.clone();
            other.memories[m].bits_per_cycle.value = twice;
            changed.push((
                format!("{}: port {port} → {twice} bits a cycle", memory.name),
                other,
            ));
        }
        if let MemoryKind::Buffer {
            capacity,
            double_buffered,
        } = memory.kind
        {
            if let Some(twice) = Capacity::new(2.0 * capacity.value()) {
                let mut other = profile.clone();
                other.memories[m].kind = MemoryKind::Buffer {
                    capacity: twice,
                    double_buffered,
                };
                changed.push((
                    format!("{}: capacity {} → {} KiB", memory.name, kib(capacity), kib(twice)),
                    other,
                ));
            }
            if !double_buffered {
                let mut other = profile.clone();
                other.memories[m].kind = MemoryKind::Buffer {
                    capacity,
                    double_buffered: true,
                };
                changed.push((format!("{}: double-buffered", memory.name), other));
            }
        }
    }
    changed
}

/// The tensor that a cause waits for.
fn stalled(cause: &str) -> Option<TensorKind> {
    match cause {
        "stall_weights" => Some(TensorKind::Weights),
        "stall_indices" => Some(TensorKind::Indices),
        "stall_inputs" => Some(TensorKind::Inputs),
        "stall_outputs" => Some(TensorKind::Outputs),
        _ => None,
    }
}

/// Profiles in which transfers are made in another way: bursts, rows and banks of the DRAM, ports and banks of buffers.
/// They are many, so that those that do not help are not named.
fn moving(profile: &Profile, cause: &str) -> Vec<(String, Profile)> {
    let mut changed = Vec::new();
    let Some(tensor) = stalled(cause) else {
        return changed;
    };
    for (m, memory) in profile.memories.iter().enumerate() {
        let mut with = |what: String, change: &dyn Fn(&mut Memory)| {
            let mut other = profile.clone();
            change(&mut other.memories[m]);
            changed.push((format!("{}: {what}", memory.name), other));
        };
        if let Some(rows) = &memory.rows {
            if let Ok(twice) = mul(rows.banks, 2) {
                with(format!("banks {} → {twice}", rows.banks), &|m| {
                    m.rows = m.rows.clone().map(|rows| DramRows { banks: twice, ..rows });
                });
            }
            if let Ok(twice) = mul(rows.row_bytes, 2) {
                with(format!("rows {} → {twice} bytes", rows.row_bytes), &|m| {
                    m.rows = m.rows.clone().map(|rows| DramRows {
                        row_bytes: twice,
                        ..rows
                    });
                });
            }
        }
        match memory.kind {
            MemoryKind::Dram { burst_bits } if burst_bits > 1 && burst_bits % 2 == 0 => {
                let half = burst_bits / 2;
                with(format!("bursts {burst_bits} → {half} bits"), &|m| {
                    m.kind = MemoryKind::Dram { burst_bits: half };
                });
            }
            MemoryKind::Buffer { .. } if memory.holds.contains(&tensor) => {
                let Some(Ports::Shared { banks }) = memory.ports else {
                    continue;
                };
                with("a port for each side".into(), &|m| {
                    m.ports = Some(Ports::Separate);
                });
                if let Ok(twice) = mul(banks, 2) {
                    with(format!("banks {banks} → {twice}"), &|m| {
                        m.ports = Some(Ports::Shared { banks: twice });
                    });
                }
            }
            _ => {}
        }
    }
    changed
}
