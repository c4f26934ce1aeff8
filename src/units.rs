//! Quantities with their units. In files a quantity is a string with its unit (`"500 MHz"`, `"128 KiB"`,
//! `"2.2 pJ"`); a number without a unit, or with a unit of another kind, is refused where it stands.
//!
//! Counts (cycles, bits, accesses) are `u64` and are combined with the checked functions below: an overflow is
//! an error with a name, never a wrap.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// A product or sum of counts left the range of `u64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a count exceeds 2^64 - 1")]
pub struct Overflow;

/// `a * b`, or [`Overflow`].
///
/// # Errors
/// When the product does not fit.
pub fn mul(a: u64, b: u64) -> Result<u64, Overflow> {
    a.checked_mul(b).ok_or(Overflow)
}

/// `a + b`, or [`Overflow`].
///
/// # Errors
/// When the sum does not fit.
pub fn add(a: u64, b: u64) -> Result<u64, Overflow> {
    a.checked_add(b).ok_or(Overflow)
}

/// The product of all factors, or [`Overflow`].
///
/// # Errors
/// When the product does not fit.
pub fn product(factors: &[u64]) -> Result<u64, Overflow> {
    factors.iter().try_fold(1, |p, &f| mul(p, f))
}

/// Why a quantity was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum QuantityError {
    /// Not `<number> <unit>`.
    #[error("`{text}` is no {kind}: write a number and one of the units {units}, as in `{example}`")]
    Form {
        /// What was read.
        text: String,
        /// The quantity expected.
        kind: &'static str,
        /// Units that would do.
        units: &'static str,
        /// A valid example.
        example: &'static str,
    },
    /// A known form with a unit of another kind.
    #[error("`{text}`: `{unit}` is not a unit of {kind}; use one of {units}, as in `{example}`")]
    Unit {
        /// What was read.
        text: String,
        /// The unit found.
        unit: String,
        /// The quantity expected.
        kind: &'static str,
        /// Units that would do.
        units: &'static str,
        /// A valid example.
        example: &'static str,
    },
    /// Negative, zero, not finite, or not a whole number of the base unit where one is needed.
    #[error("`{text}` is out of range: {rule}")]
    Range {
        /// What was read.
        text: String,
        /// What must hold.
        rule: &'static str,
    },
}

fn split(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | '_')))
        .unwrap_or(text.len());
    // `1e3 MHz`: take the exponent along when digits follow it
    let mut end = end;
    if let Some(rest) = text.get(end..).and_then(|r| r.strip_prefix(['e', 'E'])) {
        let digits = rest.trim_start_matches(['+', '-']);
        let n = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        if n > 0 {
            end += 1 + (rest.len() - digits.len()) + n;
        }
    }
    let number = text.get(..end)?.replace('_', "").parse().ok()?;
    Some((number, text.get(end..)?.trim()))
}

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident, $base:literal, $kind:literal, $example:literal, zero: $zero:literal, [$(($unit:literal, $factor:expr)),+ $(,)?]) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(f64);

        impl $name {
            /// The quantity in the base unit named by the type's documentation.
            #[must_use]
            pub fn new(value: f64) -> Option<Self> {
                (value.is_finite() && (value > 0.0 || ($zero && value == 0.0))).then_some(Self(value))
            }
            /// The value in the base unit.
            #[must_use]
            pub fn value(self) -> f64 {
                self.0
            }
            const UNITS: &'static str = concat!($("`", $unit, "` "),+);
            const FORMAT: &'static str = concat!("cosparse-", $kind);
        }

        impl FromStr for $name {
            type Err = QuantityError;
            fn from_str(text: &str) -> Result<Self, QuantityError> {
                let form = || QuantityError::Form { text: text.into(), kind: $kind, units: Self::UNITS.trim_end(), example: $example };
                let (number, unit) = split(text).ok_or_else(form)?;
                if unit.is_empty() {
                    return Err(form());
                }
                let factor: f64 = match unit {
                    $($unit => $factor,)+
                    _ => return Err(QuantityError::Unit { text: text.into(), unit: unit.into(), kind: $kind, units: Self::UNITS.trim_end(), example: $example }),
                };
                Self::new(number * factor).ok_or(QuantityError::Range {
                    text: text.into(),
                    rule: if $zero { "it must be finite and not negative" } else { "it must be finite and greater than zero" },
                })
            }
        }

        impl TryFrom<String> for $name {
            type Error = QuantityError;
            fn try_from(text: String) -> Result<Self, QuantityError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(q: $name) -> String {
                q.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{} {}", self.0, $base)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "format": Self::FORMAT,
                    "description": concat!($kind, ": a number and a unit, as in `", $example, "`"),
                    "examples": [$example],
                })
            }
        }
    };
}

quantity!(
    /// A clock rate in MHz. Never zero.
    Frequency, "MHz", "frequency", "500 MHz", zero: false,
    [("Hz", 1e-6), ("kHz", 1e-3), ("MHz", 1.0), ("GHz", 1e3)]
);
quantity!(
    /// An energy in pJ; zero only where a source says so.
    Energy, "pJ", "energy", "2.2 pJ", zero: true,
    [("fJ", 1e-3), ("pJ", 1.0), ("nJ", 1e3), ("uJ", 1e6)]
);
quantity!(
    /// A silicon area in µm². Never zero.
    Area, "um2", "area", "8200 um2", zero: false,
    [("um2", 1.0), ("mm2", 1e6)]
);
quantity!(
    /// A power in mW.
    Power, "mW", "power", "145 mW", zero: true,
    [("uW", 1e-3), ("mW", 1.0), ("W", 1e3)]
);
quantity!(
    /// A capacity in bits; always a whole number of bits, never zero.
    Capacity, "bit", "capacity", "128 KiB", zero: false,
    [("bit", 1.0), ("B", 8.0), ("KiB", 8192.0), ("MiB", 8_388_608.0), ("GiB", 8_589_934_592.0), ("kB", 8e3), ("MB", 8e6), ("GB", 8e9)]
);

/// Whether a text is a quantity of a schema's `format`; `None` when the format names no quantity.
pub(crate) fn check(format: &str, text: &str) -> Option<Result<(), QuantityError>> {
    Some(match format {
        Frequency::FORMAT => text.parse::<Frequency>().map(drop),
        Energy::FORMAT => text.parse::<Energy>().map(drop),
        Area::FORMAT => text.parse::<Area>().map(drop),
        Power::FORMAT => text.parse::<Power>().map(drop),
        Capacity::FORMAT => text.parse::<Capacity>().map(drop),
        _ => return None,
    })
}

impl Capacity {
    /// The capacity in whole bits (rounded down).
    #[must_use]
    pub fn bits(self) -> u64 {
        self.0 as u64
    }
}
