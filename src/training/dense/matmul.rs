//! The matrix product on slices. The only file that calls unsafe code.

use super::float::Float;

/// A matrix inside a slice: element (i, j) stands at `offset + i·row + j·col`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a, T> {
    /// Where the elements live.
    pub(crate) data: &'a [T],
    /// The place of element (0, 0).
    pub(crate) offset: usize,
    /// Distance between rows.
    pub(crate) row: usize,
    /// Distance between columns.
    pub(crate) col: usize,
}

impl<'a, T> Matrix<'a, T> {
    /// Rows one after another, `width` elements apart.
    pub(crate) fn rows(data: &'a [T], offset: usize, width: usize) -> Self {
        Self {
            data,
            offset,
            row: width,
            col: 1,
        }
    }

    /// The transpose of a matrix whose rows lie `width` elements apart.
    pub(crate) fn transposed(data: &'a [T], offset: usize, width: usize) -> Self {
        Self {
            data,
            offset,
            row: 1,
            col: width,
        }
    }
}

/// The index behind the last element of an `rows × cols` matrix, or `None` when it overflows.
fn end(rows: usize, cols: usize, offset: usize, row: usize, col: usize) -> Option<usize> {
    let down = (rows - 1).checked_mul(row)?;
    let right = (cols - 1).checked_mul(col)?;
    offset.checked_add(down)?.checked_add(right)?.checked_add(1)
}

/// `out = a · b`, or `out += a · b` when `accumulate`, for `a` of m×k and `b` of k×n elements.
/// `out` has rows of n adjacent elements, `width` apart, the first at `offset`. Runs on the calling thread, so
/// that the result depends on the arguments alone.
///
/// # Panics
/// When a matrix reaches outside its slice or the rows of `out` overlap.
#[allow(unsafe_code)] // gemm takes pointers; every bound is asserted first
pub(crate) fn matmul<T: Float>(
    [m, k, n]: [usize; 3],
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    out: &mut [T],
    (offset, width): (usize, usize),
    accumulate: bool,
) {
    if m == 0 || n == 0 || k == 0 {
        if !accumulate && n > 0 {
            (0..m).for_each(|i| out[offset + i * width..][..n].fill(T::ZERO));
        }
        return;
    }
    let inside = |e: Option<usize>, len: usize| e.is_some_and(|e| e <= len);
    assert!(
        inside(end(m, k, a.offset, a.row, a.col), a.data.len()),
        "the left factor lies inside its slice"
    );
    assert!(
        inside(end(k, n, b.offset, b.row, b.col), b.data.len()),
        "the right factor lies inside its slice"
    );
    assert!(
        inside(end(m, n, offset, width, 1), out.len()),
        "the product lies inside its slice"
    );
    assert!(m == 1 || width >= n, "the rows of a product do not overlap");
    assert!(a.data.len().max(b.data.len()).max(out.len()) <= isize::MAX as usize / size_of::<T>());
    let stride = |s: usize| isize::try_from(s).unwrap_or(0); // a stride beyond isize only occurs with one row or column
    // SAFETY: the assertions above show that every element the call reads or writes lies inside its slice; `out`
    // is borrowed mutably, so it aliases neither factor, and its rows do not overlap each other. `T` is f32 or
    // f64, the only implementors of `Float`, both of which gemm knows.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr().add(offset),
            1,
            stride(width),
            accumulate,
            a.data.as_ptr().add(a.offset),
            stride(a.col),
            stride(a.row),
            b.data.as_ptr().add(b.offset),
            stride(b.col),
            stride(b.row),
            T::ONE,
            T::ONE,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // whole numbers, exact in f32
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Equals the triple loop, for plain and transposed factors, offsets and accumulation. Whole numbers, so
        /// every order of summation gives the same value.
        #[test]
        fn equals_the_triple_loop(m in 1..9usize, k in 1..9usize, n in 1..9usize, ta: bool, tb: bool, add: bool, gap in 0..3usize) {
            let a: Vec<f32> = (0..m * k + 2).map(|i| ((i * 7) % 11) as f32 - 5.0).collect();
            let b: Vec<f32> = (0..k * n + 2).map(|i| ((i * 5) % 13) as f32 - 6.0).collect();
            let left = if ta { Matrix::transposed(&a, 2, m) } else { Matrix::rows(&a, 2, k) };
            let right = if tb { Matrix::transposed(&b, 1, k) } else { Matrix::rows(&b, 1, n) };
            let width = n + gap;
            let mut out = vec![3.0f32; 1 + m * width];
            matmul([m, k, n], left, right, &mut out, (1, width), add);
            for i in 0..m {
                for j in 0..n {
                    let mut want = if add { 3.0 } else { 0.0 };
                    for x in 0..k {
                        want += a[left.offset + i * left.row + x * left.col] * b[right.offset + x * right.row + j * right.col];
                    }
                    prop_assert_eq!(out[1 + i * width + j], want);
                }
                for j in n..width {
                    prop_assert_eq!(out[1 + i * width + j], 3.0, "the gap between rows is left alone");
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "the left factor lies inside its slice")]
    fn refuses_a_factor_that_is_too_short() {
        let (a, b) = ([1.0f32; 5], [1.0f32; 6]);
        matmul(
            [2, 3, 2],
            Matrix::rows(&a, 0, 3),
            Matrix::rows(&b, 0, 2),
            &mut [0.0; 4],
            (0, 2),
            false,
        );
    }
}
