//! A step of the tile pipeline where transfers take time beside the DRAM's port: the time of each memory, and the rows
//! of the DRAM that are opened.

use super::dram::Rows;
use super::pipeline::{Stalls, Tile, only, plus};
use super::ports::Crossing;
use super::{Layout, Route, crossings};
use crate::hardware::Memory;
use crate::units::{Overflow, add};

/// What is charged to the memories of a profile.
pub(super) struct Charges {
    routes: [Route; 4],
    /// Tensors that do not move while the array works.
    serial: [bool; 4],
    widths: Vec<u64>,
    crossings: Vec<Option<Crossing>>,
    pub(super) rows: Option<Rows>,
    /// Rows opened so far.
    pub(super) activations: u64,
}

/// Time at a memory, the bits by tensor that take it, and the rows opened.
struct Busy {
    cycles: u64,
    bits: [u64; 4],
    opened: u64,
}

impl Charges {
    /// `None` where nothing is charged but the DRAM's port and what the array reads and writes.
    pub(super) fn new(memories: &[Memory], layout: &Layout, serial: [bool; 4]) -> Option<Self> {
        if layout.counted {
            return None;
        }
        let mut list = vec![None; memories.len()];
        for (m, crossing) in crossings(memories, &layout.routes) {
            list[m] = Some(crossing);
        }
        Some(Self {
            routes: layout.routes,
            serial,
            widths: memories.iter().map(|m| m.bits_per_cycle.value.max(1)).collect(),
            crossings: list,
            rows: memories.last().and_then(Rows::of),
            activations: 0,
        })
    }

    /// Cycles of a step: the array works on `current` while `next` is loaded and `stored` is stored, then what does not
    /// overlap moves. The longest port sets the time of each part.
    pub(super) fn step(
        &mut self,
        current: &Tile,
        next: &Tile,
        stored: &Tile,
        stalls: &mut Stalls,
    ) -> Result<u64, Overflow> {
        let serial = self.serial;
        let mut cycles = current.compute;
        let array = current.array;
        if let Some(longest) = self.longest(cycles, array, [next, stored], |t| !serial[t])? {
            stalls.charge(longest.cycles - cycles, longest.bits)?;
            cycles = longest.cycles;
        }
        if let Some(apart) = self.longest(0, [0; 4], [current; 2], |t| serial[t])? {
            stalls.charge(apart.cycles, apart.bits)?;
            cycles = add(cycles, apart.cycles)?;
        }
        Ok(cycles)
    }

    /// The first memory of those that are busy longest, if longer than `least`. The array moves `array` at its edge; of
    /// the first tile the loads move, of the second the stores, of the tensors that `moves` says.
    fn longest(
        &mut self,
        least: u64,
        array: [u64; 4],
        tiles: [&Tile; 2],
        moves: impl Fn(usize) -> bool,
    ) -> Result<Option<Busy>, Overflow> {
        let mut longest: Option<Busy> = None;
        for m in 0..self.widths.len() {
            let inner = only(array, |t| self.routes[t].inner == m);
            let busy = if m + 1 == self.widths.len() {
                self.dram(inner, tiles, &moves)?
            } else {
                self.buffer(m, inner, tiles, &moves)?
            };
            self.activations = add(self.activations, busy.opened)?;
            if busy.cycles > longest.as_ref().map_or(least, |l| l.cycles) {
                longest = Some(busy);
            }
        }
        Ok(longest)
    }

    fn dram(
        &self,
        array: [u64; 4],
        tiles: [&Tile; 2],
        moves: impl Fn(usize) -> bool,
    ) -> Result<Busy, Overflow> {
        let [load, store] = tiles;
        let bits = plus(array, only(plus(load.load, store.store)?, &moves))?;
        let data = sum(bits)?.div_ceil(self.widths[self.widths.len() - 1]);
        let Some(rows) = &self.rows else {
            return Ok(Busy {
                cycles: data,
                bits,
                opened: 0,
            });
        };
        let opened = plus(load.beside.opened[0], store.beside.opened[1])?;
        // the array's own words follow each other, from the beginning of a row
        let direct = array.map(|bits| bits.div_ceil(rows.bits));
        let opened = sum(plus(direct, only(opened, &moves))?)?;
        Ok(Busy {
            cycles: rows.cycles(data, opened)?,
            bits,
            opened,
        })
    }

    fn buffer(
        &self,
        m: usize,
        array: [u64; 4],
        tiles: [&Tile; 2],
        moves: impl Fn(usize) -> bool,
    ) -> Result<Busy, Overflow> {
        let Some(crossing) = &self.crossings[m] else {
            return Ok(Busy {
                cycles: sum(array)?.div_ceil(self.widths[m]),
                bits: array,
                opened: 0,
            });
        };
        let [load, store] = tiles;
        let passed = only(plus(load.beside.passed[0], store.beside.passed[1])?, &moves);
        let inner = plus(array, only(passed, |t| crossing.inwards[t]))?;
        let outer = only(passed, |t| crossing.outwards[t]);
        Ok(Busy {
            cycles: crossing.cycles(sum(inner)?, sum(outer)?)?,
            bits: plus(inner, outer)?,
            opened: 0,
        })
    }
}

fn sum(bits: [u64; 4]) -> Result<u64, Overflow> {
    bits.iter().try_fold(0, |sum, &bits| add(sum, bits))
}
