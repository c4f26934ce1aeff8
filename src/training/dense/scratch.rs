//! Work memory that is kept between steps, one buffer for every thread.

use std::sync::{Mutex, PoisonError};

/// One growing buffer per thread of the pool.
pub(super) struct Scratch<T> {
    slots: Vec<Mutex<Vec<T>>>,
}

impl<T: Copy + Default> Scratch<T> {
    /// No buffers yet.
    pub(super) fn new() -> Self {
        Self { slots: Vec::new() }
    }

    /// Makes a buffer for every thread of the current pool.
    pub(super) fn prepare(&mut self) {
        let threads = rayon::current_num_threads();
        if self.slots.len() < threads {
            self.slots.resize_with(threads, Mutex::default);
        }
    }

    /// Runs `work` on `len` elements of arbitrary content. `work` must not wait for other tasks of the pool.
    pub(super) fn with<R>(&self, len: usize, work: impl FnOnce(&mut [T]) -> R) -> R {
        let slot = rayon::current_thread_index().unwrap_or(0) % self.slots.len().max(1);
        let mut buffer = self.slots[slot].lock().unwrap_or_else(PoisonError::into_inner);
        if buffer.len() < len {
            buffer.resize(len, T::default());
        }
        work(&mut buffer[..len])
    }
}
