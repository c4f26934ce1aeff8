//! Names of structures, precisions and encodings as they stand in report cells.

use serde::Serialize;
use serde_json::Value;

/// The word of a value as files write it: a plain word as it is, a table as its `kind` and then its other values,
/// so that `{ kind = "relative-index", bits = 4 }` becomes `relative-index-4`.
pub(super) fn word<T: Serialize>(value: &T) -> String {
    fn plain(value: &Value) -> String {
        match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }
    match serde_json::to_value(value) {
        Ok(Value::Object(map)) => map.values().map(plain).collect::<Vec<_>>().join("-"),
        Ok(other) => plain(&other),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::word;
    use crate::compression::encoding::Encoding;
    use crate::compression::precision::Precision;
    use crate::compression::structure::Structure;

    #[test]
    fn cells_hold_the_words_of_the_files() {
        assert_eq!(word(&Structure::Unstructured), "unstructured");
        assert_eq!(word(&Encoding::RelativeIndex { bits: 4 }), "relative-index-4");
        assert_eq!(word(&Encoding::Dense), "dense");
        assert_eq!(word(&Encoding::NM { keep: 2, group: 4 }), "n-m-2-4");
        assert_eq!(word(&Encoding::BlockMap { rows: 4, cols: 8 }), "block-map-4-8");
        assert_eq!(word(&Encoding::GolombRice), "golomb-rice");
        assert_eq!(word(&Precision::equal_interval(3)), "equal-interval-3");
    }
}
