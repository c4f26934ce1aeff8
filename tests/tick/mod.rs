//! The tick model: every PE, queue and port, cycle by cycle. Slow and obvious, and the law for the simulator.
//! It shares no formula with it: values move, queues fill, and the cycles are counted.
#![allow(dead_code)] // each test binary steps its own engines
#![allow(clippy::needless_range_loop)] // a place in the array indexes several lists

pub(crate) mod bit_fusion;
pub(crate) mod bit_serial;
pub(crate) mod contiguous;
pub(crate) mod encoder;
pub(crate) mod flexible;
pub(crate) mod interleaved;
pub(crate) mod scatter;
pub(crate) mod structured;
pub(crate) mod systolic;
