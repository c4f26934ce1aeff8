//! The records of a penalty's rounds.

use super::record::{Phase, Record};
use super::solve::{Assignment, accuracy_at_cut, norm, support};
use crate::training::data::Samples;
use crate::training::{Executor, TrainingError};

/// Writes down after each round what the cut would leave.
#[derive(Debug)]
pub(super) struct Rounds<'a> {
    step: &'a str,
    phase: Phase,
    validation: &'a Samples,
    /// Z of the last round, per assignment; none before the first.
    last: Vec<Vec<f32>>,
    pub(super) records: Vec<Record>,
}

impl<'a> Rounds<'a> {
    pub(super) fn new(step: &'a str, phase: Phase, validation: &'a Samples) -> Self {
        Self {
            step,
            phase,
            validation,
            last: Vec::new(),
            records: Vec::new(),
        }
    }

    /// The end of a round: `sets` are those of a cut made now, with the penalty's parameter of each layer.
    pub(super) fn end(
        &mut self,
        executor: &mut dyn Executor,
        sets: &[Assignment],
        rho: impl Fn(usize) -> f64,
    ) -> Result<(), TrainingError> {
        let accuracy = accuracy_at_cut(executor, sets, self.validation)?;
        let per_round = sets.len().max(1);
        let iteration = (self.records.len() / per_round) as u32 + 1;
        let mut now = Vec::with_capacity(sets.len());
        for (i, a) in sets.iter().enumerate() {
            let p = &executor.parameters().list[a.parameter];
            let mut z = p.values.clone();
            a.set.project(&mut z, &support(p));
            let rho = rho(i);
            let moved = self.last.get(i).map_or(0.0, |last| norm(&z, last));
            self.records.push(Record {
                step: self.step.into(),
                phase: self.phase,
                iteration,
                layer: p.layer.clone(),
                set: a.set.describe(),
                rho,
                primal: norm(&p.values, &z),
                dual: rho * moved,
                kept: z.iter().filter(|&&v| v != 0.0).count(),
                accuracy_at_cut_pct: 100.0 * accuracy,
            });
            now.push(z);
        }
        self.last = now;
        Ok(())
    }
}
