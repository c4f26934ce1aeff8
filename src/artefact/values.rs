//! What is not a weight: biases, gains, shifts, statistics, tables.

use super::ArtefactError;
use super::coder::Coder;
use super::model::{Cell, Number, Tree};
use super::weights::Shared;

/// How values beside the weights are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scalars {
    /// As they are.
    Float32,
    /// Rounded to half precision: 11 bits of the value, from 6·10⁻⁸ to 65504.
    Float16,
    /// Whole multiples of one interval a layer, so that the largest has this many bits with its sign: 2 to 16.
    Bits(u8),
    /// Not at all: they become zero.
    Dropped,
}

/// The form of one vector with its interval.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Form {
    scalars: Scalars,
    interval: f32,
}

impl Form {
    fn of(scalars: Scalars, values: &[f32]) -> Self {
        let most = values.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        let interval = match scalars {
            // the upper half of the float that is next above
            Scalars::Bits(bits) if most > 0.0 && most.is_finite() => {
                let exact = most / ((1u32 << (bits.clamp(2, 16) - 1)) - 1) as f32;
                f32::from_bits(exact.to_bits().saturating_add(0xFFFF) & 0xFFFF_0000)
            }
            _ => 1.0,
        };
        Self { scalars, interval }
    }

    /// The value that is read where `value` is written.
    fn rounded(self, value: f32) -> f32 {
        match self.scalars {
            Scalars::Float32 => value,
            Scalars::Float16 => from_half(to_half(value)),
            Scalars::Bits(_) => (value / self.interval).round() * self.interval,
            Scalars::Dropped => 0.0,
        }
    }
}

/// The values as they come back.
pub(super) fn rounded(scalars: Scalars, values: &[f32]) -> Vec<f32> {
    let form = Form::of(scalars, values);
    // a negative zero is a zero: zeros have no sign in the file
    values.iter().map(|&v| form.rounded(v) + 0.0).collect()
}

/// Codes `count` values, which are rounded already to the given form; `alive` says of each whether a one before it
/// makes a value likely.
pub(super) fn code(
    coder: &mut impl Coder,
    shared: &mut Shared,
    scalars: Scalars,
    original: &[f32],
    count: usize,
    alive: &dyn Fn(usize) -> bool,
) -> Result<Vec<f32>, ArtefactError> {
    let wanted = Form::of(scalars, original);
    let values = rounded(scalars, original);
    let (kind, bits) = match scalars {
        Scalars::Float32 => (0, 0),
        Scalars::Float16 => (1, 0),
        Scalars::Bits(bits) => (2, u64::from(bits.clamp(2, 16) - 1)),
        Scalars::Dropped => (3, 0),
    };
    let scalars = match (coder.plain(kind, 2), bits) {
        (0, _) => Scalars::Float32,
        (1, _) => Scalars::Float16,
        (2, bits) => Scalars::Bits(coder.plain(bits, 4) as u8 + 1),
        _ => return Ok(vec![0.0; count]),
    };
    let interval = match scalars {
        Scalars::Bits(_) => {
            let upper = coder.plain(u64::from(wanted.interval.to_bits() >> 16), 16) as u32;
            f32::from_bits(upper << 16)
        }
        _ => 1.0,
    };
    if !(interval > 0.0 && interval.is_finite()) {
        return Err(ArtefactError::Malformed("an interval that is not positive"));
    }
    let mut zero = [Cell::new(0.9, 2.0), Cell::new(0.1, 2.0)];
    let (mut number, mut exponents) = (Number::new(), Tree::new(5));
    let mut read = Vec::new();
    for i in 0..count {
        let value = values.get(i).copied().unwrap_or(0.0);
        if zero[usize::from(alive(i))].code(coder, value == 0.0) {
            read.push(0.0);
            continue;
        }
        read.push(match scalars {
            Scalars::Float16 => {
                let half = u32::from(to_half(value));
                let sign = coder.plain(u64::from(half >> 15), 1) as u32;
                let exponent = exponents.code(coder, half >> 10 & 31);
                let fraction = coder.plain(u64::from(half & 1023), 10) as u32;
                from_half((sign << 15 | exponent << 10 | fraction) as u16)
            }
            Scalars::Bits(_) => {
                let steps = (value / interval).round();
                let negative = coder.plain(u64::from(steps < 0.0), 1) == 1;
                let size = number.code(coder, (steps.abs() as u64).saturating_sub(1)) + 1;
                let size = size as f32 * interval;
                if negative { -size } else { size }
            }
            _ => f32::from_bits(shared.float(coder, value.to_bits())),
        });
    }
    Ok(read)
}

/// To half precision, halves to even; beyond its range infinity.
fn to_half(value: f32) -> u16 {
    let sign = (value.to_bits() >> 16 & 0x8000) as u16;
    if value.is_nan() {
        return sign | 0x7E00;
    }
    let size = f64::from(value.abs());
    if size < 1.0 / 16_384.0 {
        // subnormal: multiples of 2^-24
        return sign | (size * 16_777_216.0).round_ties_even() as u16;
    }
    if size >= 65_520.0 {
        // nearer to 65536 than to the largest half, 65504, or half way to it
        return sign | 0x7C00;
    }
    let exponent = (size.to_bits() >> 52) as i32 - 1023;
    let steps = (size / f64::from(exponent).exp2() * 1024.0).round_ties_even() as i32;
    // 2048 steps carry into the exponent
    let half = ((exponent + 15) << 10) + steps - 1024;
    sign | half as u16
}

fn from_half(half: u16) -> f32 {
    let (exponent, fraction) = (i32::from(half >> 10 & 31), f64::from(half & 1023));
    let size = match exponent {
        0 => fraction / 16_777_216.0,
        31 if fraction > 0.0 => f64::NAN,
        31 => f64::INFINITY,
        _ => (1.0 + fraction / 1024.0) * f64::from(exponent - 15).exp2(),
    };
    (if half & 0x8000 == 0 { size } else { -size }) as f32
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // the values compared are exact
mod tests {
    use super::*;

    #[test]
    fn halves_by_hand() {
        for (value, half) in [
            (1.0f32, 0x3C00u16),
            (-2.0, 0xC000),
            (65504.0, 0x7BFF),
            (65520.0, 0x7C00),
            (1e9, 0x7C00),
            (6.0e-8, 0x0001),
            (6.103_515_6e-5, 0x0400),
            (1.000_488_3, 0x3C00),
            (1.001_464_8, 0x3C02),
        ] {
            assert_eq!(to_half(value), half, "{value}");
        }
        assert!((0..=u16::MAX).all(|h| from_half(h).is_nan() || to_half(from_half(h)) == h));
    }

    #[test]
    fn rounding_twice_changes_nothing() {
        let values = [0.3, -0.7, 0.0, 1e-9, 0.699_99];
        for scalars in [
            Scalars::Float32,
            Scalars::Float16,
            Scalars::Bits(2),
            Scalars::Bits(8),
            Scalars::Dropped,
        ] {
            let once = rounded(scalars, &values);
            let form = Form::of(scalars, &values);
            assert!(once.iter().all(|&v| form.rounded(v) == v), "{scalars:?}");
        }
    }
}
