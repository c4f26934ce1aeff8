//! The executor: batches cut into blocks, blocks spread over threads, derivatives added in order.

use super::block::Workspace;
use super::lanes::LANES;
use super::plan::{Plan, unsupported};
use super::stage::Mode;
use crate::network::Network;
use crate::training::dense::ByInput;
use crate::training::executor::Slopes;
use crate::training::{Executor, Loss, Parameters, Step, TrainingError};
use rayon::prelude::*;
use std::sync::{Mutex, PoisonError};

/// Runs a chain of layers with the kept weights only: those in each parameter's support, all without one.
///
/// Supports are read when the executor is built; after changing them through
/// [`parameters_mut`](Executor::parameters_mut), call [`SparseExecutor::rebuild`].
///
/// Dropout draws by (seed of the step, place of the layer, place of the sample in the batch, element), so its
/// masks differ from those of the dense executor.
#[derive(Debug)]
pub struct SparseExecutor {
    network: Network,
    parameters: Parameters,
    plan: Plan,
    /// The kept values of the present step.
    values: Vec<f32>,
    /// One sum and one vector of derivatives per block.
    blocks: Vec<(f64, Vec<f32>)>,
    workspaces: Mutex<Vec<Workspace>>,
    /// Derives by the input with all weights, since values outside supports are zero.
    by_input: Option<ByInput>,
    steps: u64,
}

impl SparseExecutor {
    /// Prepares a network with its parameters.
    ///
    /// # Errors
    /// [`TrainingError::Unsupported`] naming the layer that is not part of a chain or is of another kind, whose
    /// parameters are missing or of other sizes, or at which a sample needs more than 2^26 values.
    pub fn new(network: &Network, parameters: Parameters) -> Result<Self, TrainingError> {
        let plan = Plan::new(network, &parameters)?;
        let values = vec![0.0; plan.values];
        Ok(Self {
            network: network.clone(),
            parameters,
            plan,
            values,
            blocks: Vec::new(),
            workspaces: Mutex::default(),
            by_input: None,
            steps: 0,
        })
    }

    /// The same executor for the supports as they are now. Costs about as much as one step.
    ///
    /// # Errors
    /// As [`SparseExecutor::new`], when the parameters were replaced by others.
    pub fn rebuild(self) -> Result<Self, TrainingError> {
        let rebuilt = Self::new(&self.network, self.parameters)?;
        Ok(Self {
            steps: self.steps,
            ..rebuilt
        })
    }

    /// Gives the parameters back.
    #[must_use]
    pub fn into_parameters(self) -> Parameters {
        self.parameters
    }

    /// Kept weights that are computed with: those in the supports whose output some later weight reads.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.plan
            .stages
            .iter()
            .filter_map(|s| s.slots())
            .map(|s| s.weight.1.len())
            .sum()
    }

    /// Portion of the network's weights that are computed with; 0 for a network without weights.
    #[must_use]
    pub fn density(&self) -> f64 {
        match self.network.weights() {
            0 => 0.0,
            all => self.kept() as f64 / all as f64,
        }
    }

    fn check(&self, step: &Step<'_>, gradients: &[Vec<f32>]) -> Result<(), TrainingError> {
        let (samples, plan) = (step.labels.len(), &self.plan);
        let fail = |message: String| Err(unsupported(&plan.last, message));
        if samples == 0 {
            return fail("a mini-batch needs a sample".into());
        }
        if step.inputs.len() != samples * plan.inputs {
            let (have, one) = (step.inputs.len(), plan.inputs);
            return fail(format!(
                "{samples} labels come with {have} input values, not {one} each"
            ));
        }
        if let Some(label) = step.labels.iter().find(|&&l| l as usize >= plan.classes) {
            return fail(format!(
                "a label is {label}, it has {} outputs: widen it",
                plan.classes
            ));
        }
        if step.teacher.is_some_and(|t| t.len() != samples * plan.classes) {
            return fail(format!("the teacher must have {} values a sample", plan.classes));
        }
        if matches!(step.loss, Loss::Distilled { .. }) && step.teacher.is_none() {
            return fail("distillation needs the outputs of a teacher".into());
        }
        let lengths = self.parameters.list.iter().map(|p| p.values.len());
        if !lengths.eq(gradients.iter().map(Vec::len)) {
            return fail("gradients must have one vector per parameter, of its length".into());
        }
        Ok(())
    }

    fn gather(&mut self) -> Result<(), TrainingError> {
        for slots in self.plan.stages.iter().filter_map(|s| s.slots()) {
            slots.gather(&self.parameters, &mut self.values).ok_or_else(|| {
                unsupported(&self.plan.last, "parameters were replaced: rebuild the executor")
            })?;
        }
        Ok(())
    }
}

/// A workspace from the pool, which grows to one per thread.
fn with_workspace<R>(pool: &Mutex<Vec<Workspace>>, plan: &Plan, run: impl FnOnce(&mut Workspace) -> R) -> R {
    let taken = pool.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let mut workspace = taken.unwrap_or_else(|| Workspace::new(plan));
    let result = run(&mut workspace);
    pool.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(workspace);
    result
}

impl Executor for SparseExecutor {
    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn parameters_mut(&mut self) -> &mut Parameters {
        &mut self.parameters
    }

    fn gradients(&mut self, step: &Step<'_>, gradients: &mut [Vec<f32>]) -> Result<f32, TrainingError> {
        self.check(step, gradients)?;
        self.gather()?;
        let samples = step.labels.len();
        let count = samples.div_ceil(LANES);
        if self.blocks.len() < count {
            self.blocks.resize(count, (0.0, vec![0.0; self.plan.values]));
        }
        let (plan, values, pool) = (&self.plan, &self.values, &self.workspaces);
        let blocks = &mut self.blocks[..count];
        blocks
            .par_iter_mut()
            .with_max_len(1)
            .enumerate()
            .for_each(|(b, (loss, partial))| {
                *loss = with_workspace(pool, plan, |w| {
                    w.gradients(plan, values, step, b * LANES, partial)
                });
            });

        let mut loss = 0.0;
        let (first, rest) = blocks.split_at_mut(1);
        let sums = &mut first[0].1;
        loss += first[0].0;
        for (l, partial) in rest {
            loss += *l;
            for (s, p) in sums.iter_mut().zip(partial) {
                *s += *p;
            }
        }
        for g in gradients.iter_mut() {
            g.fill(0.0);
        }
        for slots in plan.stages.iter().filter_map(|s| s.slots()) {
            slots.scatter(sums, gradients);
        }
        let mean = (loss / samples as f64) as f32;
        self.steps += 1;
        if mean.is_finite() {
            Ok(mean)
        } else {
            Err(TrainingError::NotFinite { step: self.steps - 1 })
        }
    }

    fn infer(&mut self, inputs: &[f32], samples: usize) -> Result<Vec<f32>, TrainingError> {
        if samples.checked_mul(self.plan.inputs) != Some(inputs.len()) {
            let (have, one) = (inputs.len(), self.plan.inputs);
            return Err(unsupported(
                &self.plan.last,
                format!("{samples} samples come with {have} values, not {one} each"),
            ));
        }
        self.gather()?;
        let (plan, values, pool) = (&self.plan, &self.values, &self.workspaces);
        let mut outputs = vec![0.0; samples * plan.classes];
        let blocks = outputs
            .par_chunks_mut(LANES * plan.classes)
            .zip(inputs.par_chunks(LANES * plan.inputs));
        blocks.for_each(|(outputs, inputs)| {
            with_workspace(pool, plan, |w| {
                w.forward(plan, values, Mode::Evaluate, inputs, outputs);
            });
        });
        Ok(outputs)
    }

    fn input_gradient(
        &mut self,
        inputs: &[f32],
        samples: usize,
        slopes: &mut Slopes<'_>,
        gradient: &mut Vec<f32>,
    ) -> Result<(), TrainingError> {
        let by_input = match &mut self.by_input {
            Some(by_input) => by_input,
            none => none.insert(ByInput::new(&self.network)?),
        };
        by_input.run(&self.parameters, inputs, samples, slopes, gradient)
    }
}
