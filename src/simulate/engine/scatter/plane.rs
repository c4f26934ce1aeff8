//! The input plane, cut into the tiles of the PEs.

use crate::network::LoopNest;
use crate::simulate::LayerWork;

/// No output.
pub(super) const NONE: u32 = u32::MAX;

/// Rows or columns of the plane.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    pub(super) outputs: u64,
    pub(super) kernel: u64,
    stride: u64,
    dilation: u64,
    /// Padding before the first element; as much lies behind the last.
    ring: u64,
    /// Elements that are stored.
    length: u64,
}

/// The part of an axis that a PE owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span {
    /// Its first element, padding counted in.
    from: u64,
    /// Elements.
    pub(super) len: u64,
    /// The first output that they reach.
    first: u64,
    /// Outputs that they reach, halo included.
    pub(super) reach: u64,
    /// For each element and kernel place the output from `first`, or [`NONE`].
    pub(super) lands: Vec<u32>,
}

impl Axis {
    fn span(&self, from: u64, len: u64) -> Span {
        let behind = (self.kernel - 1) * self.dilation;
        let first = from.saturating_sub(behind).div_ceil(self.stride);
        let end = ((from + len - 1) / self.stride + 1).min(self.outputs);
        let mut lands = Vec::with_capacity((len * self.kernel) as usize);
        for element in from..from + len {
            for place in 0..self.kernel {
                lands.push(self.output(element, place).map_or(NONE, |o| (o - first) as u32));
            }
        }
        Span {
            from,
            len,
            first,
            reach: end.saturating_sub(first),
            lands,
        }
    }

    /// The output to which an element and a kernel place contribute.
    fn output(&self, element: u64, place: u64) -> Option<u64> {
        let offset = element.checked_sub(place * self.dilation)?;
        let output = offset / self.stride;
        (offset.is_multiple_of(self.stride) && output < self.outputs).then_some(output)
    }

    /// The parts of `pes` PEs, as equal as they can be; PEs without elements are left out.
    pub(super) fn spans(&self, pes: u32) -> Vec<Span> {
        let pes = u64::from(pes).min(self.length);
        let at = |pe: u64| (u128::from(pe) * u128::from(self.length) / u128::from(pes)) as u64;
        (0..pes)
            .map(|pe| self.span(self.ring + at(pe), at(pe + 1) - at(pe)))
            .collect()
    }

    /// Pairs of an element and a kernel place that contribute to an output.
    pub(super) fn pairs(&self) -> u64 {
        (self.ring..self.ring + self.length)
            .map(|e| (0..self.kernel).filter(|&p| self.output(e, p).is_some()).count() as u64)
            .sum()
    }
}

impl Span {
    /// Whether another span's elements reach the same outputs counted from its first.
    fn same(&self, other: &Self) -> bool {
        (self.len, self.reach) == (other.len, other.reach) && self.lands == other.lands
    }

    /// The output that the entry of `lands` stands for.
    pub(super) fn output(&self, lands: u32) -> u64 {
        self.first + u64::from(lands)
    }
}

/// Spans that are equal but for their place, each with how many there are.
pub(super) fn distinct(spans: Vec<Span>) -> Vec<(Span, u64)> {
    let mut list: Vec<(Span, u64)> = Vec::new();
    for span in spans {
        match list.iter_mut().find(|(known, _)| known.same(&span)) {
            Some((_, times)) => *times += 1,
            None => list.push((span, 1)),
        }
    }
    list
}

/// Outputs that the spans reach beyond those of the spans before them.
pub(super) fn covered(spans: &[Span]) -> u64 {
    let mut end = 0;
    let mut sum = 0;
    for span in spans {
        let to = span.first + span.reach;
        sum += to.saturating_sub(span.first.max(end));
        end = end.max(to);
    }
    sum
}

/// The axes of a layer's input, and which portion of the places that they span is stored.
///
/// A loop nest does not say its padding. Where the input's size agrees with none, with that of an output as large
/// as the input, or with the same on all sides, padding takes no place; otherwise it is zeros among the others.
pub(super) fn axes(work: &LayerWork) -> ([Axis; 2], f64) {
    let LoopNest {
        p,
        q,
        r,
        s,
        stride,
        dilation,
        ..
    } = work.nest;
    let kernels = [(r - 1) * dilation[0] + 1, (s - 1) * dilation[1] + 1];
    let lengths = [(p - 1) * stride[0] + kernels[0], (q - 1) * stride[1] + kernels[1]];
    let channels = work.nest.g * work.nest.c;
    let stored = |[a, b]: [u64; 2]| {
        let inner = |length: u64, ring: u64| length.checked_sub(2 * ring).filter(|&l| l > 0);
        let (rows, cols) = (inner(lengths[0], a)?, inner(lengths[1], b)?);
        Some(u128::from(rows) * u128::from(cols) * u128::from(channels))
    };
    let same = kernels.map(|k| (k - 1) / 2);
    let most = kernels[0].max(kernels[1]);
    let rings = [[0, 0], same]
        .into_iter()
        .chain((1..most).map(|a| [a, a]))
        .find(|&rings| stored(rings) == Some(work.input_elements.into()));
    let ring = rings.unwrap_or_default();
    let places = stored(ring).unwrap_or(1) as f64;
    let axis = |i: usize, outputs, kernel| Axis {
        outputs,
        kernel,
        stride: stride[i],
        dilation: dilation[i],
        ring: ring[i],
        length: lengths[i] - 2 * ring[i],
    };
    (
        [axis(0, p, r), axis(1, q, s)],
        (work.input_elements as f64 / places).min(1.0),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(outputs: u64, kernel: u64, stride: u64, ring: u64, length: u64) -> Axis {
        Axis {
            outputs,
            kernel,
            stride,
            dilation: 1,
            ring,
            length,
        }
    }

    /// Thirteen columns under a kernel of three with padding 1, on four PEs: three, three, three and four columns,
    /// each with an output of halo on either side that lies in the plane.
    #[test]
    fn tiles_by_hand() {
        let axis = axis(13, 3, 1, 1, 13);
        let spans = axis.spans(4);
        let list: Vec<_> = spans
            .iter()
            .map(|s| (s.from - 1, s.len, s.first, s.reach))
            .collect();
        assert_eq!(list, [(0, 3, 0, 4), (3, 3, 2, 5), (6, 3, 5, 5), (9, 4, 8, 5)]);
        assert_eq!(covered(&spans), 13);
        assert_eq!(axis.pairs(), 13 * 3 - 2);
        assert_eq!(
            distinct(spans)
                .iter()
                .map(|(_, times)| *times)
                .collect::<Vec<_>>(),
            [1, 2, 1]
        );
        assert_eq!(axis.spans(99).len(), 13);
    }

    /// At stride 2 a kernel of three reaches an output with two places from even elements, with one from odd ones.
    #[test]
    fn strides_drop_products() {
        let axis = axis(3, 3, 2, 0, 7);
        let of = |e| (0..3).filter(|&p| axis.output(e, p).is_some()).count();
        assert_eq!((0..7).map(of).collect::<Vec<_>>(), [1, 1, 2, 1, 2, 1, 1]);
        assert_eq!(axis.pairs(), 9);
    }
}
