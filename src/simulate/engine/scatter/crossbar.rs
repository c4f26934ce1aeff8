//! Accumulator banks behind a crossbar.

/// The banks of one PE. Each adds one product a cycle; up to `depth` more wait before it. The multipliers hold a
/// step's products until all have left, so a step that meets b products in a bank's queue and sends h more to it
/// takes at least b + h − depth cycles.
#[derive(Debug)]
pub(super) struct Crossbar {
    depth: u64,
    now: u64,
    /// When each bank has added all it was sent.
    free: Vec<u64>,
    /// The latest of these.
    last: u64,
}

impl Crossbar {
    pub(super) fn new(banks: u32, depth: u32) -> Self {
        Self {
            depth: depth.into(),
            now: 0,
            free: vec![0; banks as usize],
            last: 0,
        }
    }

    /// A step whose products go to these banks.
    pub(super) fn step(&mut self, banks: impl Iterator<Item = usize>) {
        let mut worst = 0;
        for bank in banks {
            let free = &mut self.free[bank];
            *free = (*free).max(self.now) + 1;
            worst = worst.max(*free);
        }
        self.last = self.last.max(worst);
        self.now = (self.now + 1).max(worst.saturating_sub(self.depth));
    }

    /// The time when everything is added; the next step begins at zero.
    pub(super) fn drain(&mut self) -> u64 {
        let end = self.now.max(self.last);
        self.free.fill(0);
        (self.now, self.last) = (0, 0);
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without queues the bank with the most products sets the time; a queue of two takes a burst of three at once,
    /// which the next step then meets.
    #[test]
    fn conflicts_by_hand() {
        let of = |depth| {
            let mut crossbar = Crossbar::new(4, depth);
            crossbar.step([0, 0, 0, 1].into_iter());
            crossbar.step([0, 2, 3].into_iter());
            crossbar.step([].into_iter());
            let busy = crossbar.now;
            (busy, crossbar.drain(), crossbar.drain())
        };
        assert_eq!(of(0), (5, 5, 0));
        // one cycle, three products left but two places: a second one before the next step
        assert_eq!(of(1), (4, 4, 0));
        assert_eq!(of(2), (3, 4, 0));
        assert_eq!(of(9), (3, 4, 0));
    }
}
