//! The non-zeros of safetensors.

use super::MaskFileError;
use crate::compression::Mask;
use crate::compression::pack::positions;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeMap;

/// The mask of every tensor of two dimensions or more: rows are the first, columns all others. Zeros of either sign
/// are zeros, NaN is none: it is stored and multiplied like any weight. Biases and other vectors are left out, and so are tensors of elements below a byte; `file` is for errors.
///
/// # Errors
/// When the bytes are no safetensors.
pub fn parse(file: &str, bytes: &[u8]) -> Result<BTreeMap<String, Mask>, MaskFileError> {
    let tensors = SafeTensors::deserialize(bytes).map_err(|e| MaskFileError::Tensors {
        file: file.into(),
        message: format!("{e}; write it again, or give a directory of LAYER.smtx"),
    })?;
    Ok(tensors
        .iter()
        .filter_map(|(name, view)| Some((name.to_owned(), mask(&view)?)))
        .collect())
}

fn mask(view: &TensorView) -> Option<Mask> {
    let (&rows, rest) = view.shape().split_first().filter(|(_, rest)| !rest.is_empty())?;
    let cols = rest.iter().try_fold(1usize, |n, &d| n.checked_mul(d))?;
    positions(rows, cols)?;
    let bits = view.dtype().bitsize();
    if bits % 8 != 0 || view.data().len() != rows * cols * (bits / 8) {
        return None;
    }
    // the highest bit of the last byte (little-endian) is a sign, of a zero as well
    let signed_zero = matches!(
        view.dtype(),
        Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64 | Dtype::F8_E4M3 | Dtype::F8_E5M2
    );
    let alive = |element: &[u8]| match element.split_last() {
        Some((&last, low)) => {
            low.iter().any(|&b| b != 0) || last & if signed_zero { 0x7F } else { 0xFF } != 0
        }
        None => false,
    };
    let mut mask = Mask::empty(rows, cols);
    for (i, element) in view.data().chunks_exact(bits / 8).enumerate() {
        if alive(element) {
            mask.set(i, true);
        }
    }
    Some(mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(dtype: Dtype, shape: Vec<usize>, data: &[u8]) -> TensorView<'_> {
        TensorView::new(dtype, shape, data).expect("data of the shape")
    }

    #[test]
    fn zeros_of_every_type_are_zeros() {
        let floats: Vec<u8> = [0.0f32, -0.0, 1.0, -1e-40]
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect();
        let halves: Vec<u8> = [0x0000u16, 0x8000, 0x3C00, 0x8001]
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect();
        let whole: Vec<u8> = [0i8, -128, 1, 0].iter().map(|&v| v as u8).collect();
        let ones = |m: Option<Mask>| m.expect("a mask").ones().collect::<Vec<_>>();
        assert_eq!(ones(mask(&view(Dtype::F32, vec![2, 2], &floats))), [2, 3]);
        assert_eq!(ones(mask(&view(Dtype::F16, vec![1, 2, 2], &halves))), [2, 3]);
        assert_eq!(ones(mask(&view(Dtype::I8, vec![2, 1, 1, 2], &whole))), [1, 2]);
        assert_eq!(mask(&view(Dtype::F32, vec![4], &floats)), None);
    }

    #[test]
    fn nan_is_a_weight_and_narrow_types_are_read() {
        let bytes = |v: &[u16]| v.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        let nan: Vec<u8> = [f32::NAN, 0.0, -f32::NAN, -0.0]
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect();
        let ones = |dtype, data: &[u8]| {
            let mask = mask(&view(dtype, vec![2, 2], data)).expect("a mask");
            mask.ones().collect::<Vec<_>>()
        };
        assert_eq!(ones(Dtype::F32, &nan), [0, 2]);
        assert_eq!(
            ones(Dtype::BF16, &bytes(&[0x7FC0, 0x8000, 0x0000, 0x3F80])),
            [0, 3]
        );
        // no sign of a zero among whole numbers
        assert_eq!(ones(Dtype::I16, &bytes(&[0x8000, 0, 1, 0])), [0, 2]);
        assert_eq!(ones(Dtype::U8, &[0, 128, 255, 0]), [1, 2]);
        assert_eq!(ones(Dtype::BOOL, &[1, 0, 0, 1]), [0, 3]);
    }

    #[test]
    fn other_bytes_are_refused() {
        let error = parse("x.safetensors", b"not tensors")
            .expect_err("no header")
            .to_string();
        assert!(
            error.contains("`x.safetensors`") && error.contains("smtx"),
            "{error}"
        );
    }
}
