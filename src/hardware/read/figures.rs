//! Single figures: counts, texts, quantities, and figures with their source.

use crate::document::Fault;
use crate::hardware::Sourced;
use crate::hardware::raw::{RawCount, RawName, RawSourced};
use crate::units::QuantityError;
use std::str::FromStr;
use toml::Spanned;

/// Largest side of an array and largest count inside a PE.
pub(in crate::hardware) const MAX_COUNT: u64 = 65_536;
/// Widest word in bits.
pub(in crate::hardware) const MAX_BITS: u64 = 64;

/// Collects faults. A method that returns `None` has pushed at least one.
#[derive(Default)]
pub(in crate::hardware) struct Reader {
    pub(in crate::hardware) faults: Vec<Fault>,
}

impl Reader {
    pub(in crate::hardware) fn fault(
        &mut self,
        at: std::ops::Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.faults.push(Fault::new(at, message, help));
    }

    /// A count between 1 and `max`.
    pub(in crate::hardware) fn count(&mut self, raw: &Spanned<u64>, what: &str, max: u64) -> Option<u32> {
        let value = *raw.get_ref();
        if value == 0 {
            self.fault(
                raw.span(),
                format!("{what} must be at least 1"),
                "write the count that the hardware has",
            );
        } else if value > max {
            self.fault(
                raw.span(),
                format!("{what} is {value}; at most {max} can be modelled"),
                "write a smaller count",
            );
        }
        u32::try_from(value).ok().filter(|_| (1..=max).contains(&value))
    }

    pub(in crate::hardware) fn positive(&mut self, raw: &Spanned<u64>, what: &str) -> Option<u64> {
        let value = *raw.get_ref();
        if value == 0 {
            self.fault(
                raw.span(),
                format!("{what} must be at least 1"),
                "write the count that the hardware has",
            );
        }
        (value > 0).then_some(value)
    }

    /// A text that says something.
    pub(in crate::hardware) fn text(
        &mut self,
        raw: &Spanned<String>,
        what: &str,
        help: &str,
    ) -> Option<String> {
        let text = raw.get_ref().trim();
        if text.is_empty() {
            self.fault(raw.span(), format!("{what} is empty"), help);
        }
        (!text.is_empty()).then(|| text.into())
    }

    pub(in crate::hardware) fn source(&mut self, raw: &Spanned<String>) -> Option<String> {
        self.text(
            raw,
            "the source",
            "name the paper and table or the datasheet, or say `assumed: …` or `fitted: …` with the reason",
        )
    }

    pub(in crate::hardware) fn quantity<T: FromStr<Err = QuantityError>>(
        &mut self,
        raw: &Spanned<String>,
    ) -> Option<T> {
        match raw.get_ref().parse() {
            Ok(value) => Some(value),
            Err(error) => {
                let help = match &error {
                    QuantityError::Unit { unit, units, .. } => units
                        .split(' ')
                        .find(|known| known.trim_matches('`').eq_ignore_ascii_case(unit))
                        .map_or("check the unit against the key".into(), |known| {
                            format!("did you mean {known}?")
                        }),
                    QuantityError::Form { .. } => "put number and unit in one string".into(),
                    QuantityError::Range { .. } => "write a value inside the range".into(),
                };
                self.fault(raw.span(), error.to_string(), help);
                None
            }
        }
    }

    pub(in crate::hardware) fn sourced<T: FromStr<Err = QuantityError>>(
        &mut self,
        raw: &RawSourced<T>,
    ) -> Option<Sourced<T>> {
        let (value, source) = (self.quantity(&raw.value), self.source(&raw.source));
        Some(Sourced {
            value: value?,
            source: source?,
        })
    }

    /// An optional figure: `None` is a fault, `Some(None)` is an absent figure.
    #[expect(clippy::option_option, reason = "absent and faulty are different answers")]
    pub(in crate::hardware) fn optional<T: FromStr<Err = QuantityError>>(
        &mut self,
        raw: Option<&RawSourced<T>>,
    ) -> Option<Option<Sourced<T>>> {
        match raw {
            None => Some(None),
            Some(raw) => self.sourced(raw).map(Some),
        }
    }

    pub(in crate::hardware) fn sourced_count(&mut self, raw: &RawCount, what: &str) -> Option<Sourced<u64>> {
        let (value, source) = (self.positive(&raw.value, what), self.source(&raw.source));
        Some(Sourced {
            value: value?,
            source: source?,
        })
    }

    pub(in crate::hardware) fn sourced_name(&mut self, raw: &RawName, what: &str) -> Option<Sourced<String>> {
        let value = self.text(&raw.value, what, "write the name");
        let source = self.source(&raw.source);
        Some(Sourced {
            value: value?,
            source: source?,
        })
    }

    /// Reports the second and every later use of a name.
    pub(in crate::hardware) fn unique(&mut self, names: &[&Spanned<String>], what: &str) {
        for (i, name) in names.iter().enumerate() {
            if names.iter().take(i).any(|n| n.get_ref() == name.get_ref()) {
                self.fault(
                    name.span(),
                    format!("there is already {what} `{}`", name.get_ref()),
                    "give it another name",
                );
            }
        }
    }
}
