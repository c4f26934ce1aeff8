//! Mappings that were found before, by everything that a search depends on.

use super::mapping::{Misfit, RowStationaryMapping};
use crate::hardware::RowStationary;
use crate::network::LoopNest;
use crate::simulate::{ActivationBits, Fused, LayerWork};
use std::sync::{Mutex, PoisonError};

/// What a search depends on: the array, and of a layer its loops, the sizes and places of its features, and their
/// width. Densities and the weights' width change nothing.
#[derive(Debug, Clone, PartialEq)]
struct Key {
    engine: RowStationary,
    nest: LoopNest,
    activation_bits: ActivationBits,
    elements: [u64; 2],
    in_dram: [bool; 2],
    fused: Option<Fused>,
}

impl Key {
    fn of(engine: &RowStationary, work: &LayerWork) -> Self {
        Self {
            engine: engine.clone(),
            nest: work.nest,
            activation_bits: work.activation_bits,
            elements: [work.input_elements, work.output_elements],
            in_dram: [work.input_from_dram, work.output_to_dram],
            fused: work.fused,
        }
    }
}

type Outcome = Result<RowStationaryMapping, Misfit>;

/// Mappings by content, for those who ask for the same layers again and again. What it answers is what a search would:
/// it holds for any layers, arrays and order of questions, from any number of threads.
#[derive(Debug, Default)]
pub(in crate::simulate) struct Found(Mutex<Vec<(Key, Outcome)>>);

impl Found {
    /// The outcome that is known, or that of a search, which is known from then on.
    pub(super) fn or_search<E>(
        &self,
        engine: &RowStationary,
        work: &LayerWork,
        search: impl FnOnce() -> Result<Outcome, E>,
    ) -> Result<Outcome, E> {
        let key = Key::of(engine, work);
        let list = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, outcome)) = list().iter().find(|(known, _)| *known == key) {
            return Ok(outcome.clone());
        }
        let outcome = search()?;
        list().push((key, outcome.clone()));
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::ArrayEngine;
    use super::*;
    use crate::simulate::Weights;
    use crate::units::Capacity;
    use proptest::prelude::*;

    prop_compose! {
        fn engines()(rows in 2u32..4, cols in 2u32..4, words in 4u32..9, banks in 2u32..7) -> RowStationary {
            RowStationary {
                rows,
                cols,
                filter_words: words,
                input_words: 6,
                psum_words: 4,
                psums_per_cycle: 1,
                weights_per_cycle: 1,
                inputs_per_cycle: 1,
                banks,
                bank: Capacity::new(512.0).expect("positive"),
                gates_zero_inputs: true,
                run_length: None,
            }
        }
    }

    prop_compose! {
        fn works()(
            sizes in (1u64..4, 1u64..4, 1u64..4), kernel in 1u64..3, bits in prop_oneof![Just(8u32), Just(16)],
            dram in any::<[bool; 2]>(), elements in (prop_oneof![Just(4u64), Just(150)], prop_oneof![Just(4u64), Just(150)]), density in 0.1..1.0f64, weight_bits in 1u32..9,
            on_chip in prop::option::of(prop_oneof![Just(0u64), Just(150)]),
        ) -> LayerWork<'static> {
            let (k, c, p) = sizes;
            LayerWork {
                name: "l",
                nest: LoopNest { n: 1, g: 1, k, c, p, q: 2, r: kernel, s: kernel, stride: [1; 2], dilation: [1; 2] },
                weights: Weights::Density(density),
                weight_bits,
                activation_bits: ActivationBits::all(bits),
                activation_density: density,
                output_density: density,
                input_elements: elements.0,
                output_elements: elements.1,
                input_from_dram: dram[0],
                output_to_dram: dram[1],
                mapping: None,
                fused: on_chip.map(|added_on_chip| Fused { leaves: elements.1, added_from_dram: 0, added_on_chip, added_bits: bits }),
            }
        }
    }

    proptest! {
        /// Whatever was asked before, an answer is that of a search: mappings, what they cost, and what does not fit.
        #[test]
        fn what_was_found_is_what_a_search_finds(
            engines in prop::collection::vec(engines(), 2),
            // few loops, so that questions differ in one thing now and then
            nests in prop::collection::vec(works().prop_map(|work| work.nest), 2),
            questions in prop::collection::vec((0usize..2, 0usize..2, works()), 1..200),
        ) {
            let found = Found::default();
            for (engine, nest, work) in &questions {
                let (engine, work) = (&engines[*engine], LayerWork { nest: nests[*nest], ..*work });
                prop_assert_eq!(engine.run_known(&work, "e", &found), engine.run(&work, None, "e"));
            }
            prop_assert!(found.0.lock().expect("no panic").len() <= questions.len());
        }
    }
}
