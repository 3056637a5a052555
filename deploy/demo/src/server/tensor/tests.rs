//! Flat and nested data, and what is neither.

use proptest::prelude::*;

use super::*;

fn read(json: &str) -> Result<TensorData, String> {
    serde_json::from_str(json).map_err(|e: serde_json::Error| e.to_string())
}

#[test]
fn flat_and_nested_data_hold_the_same_values() {
    let flat = read("[1, 2.5, -3, 4]").unwrap();
    let nested = read("[[1, 2.5], [-3, 4]]").unwrap();
    assert_eq!(
        (flat.values.as_slice(), flat.nesting.as_slice()),
        (&[1.0, 2.5, -3.0, 4.0][..], &[4][..])
    );
    assert_eq!((nested.values, nested.nesting), (flat.values, vec![2, 2]));
}

#[test]
fn what_is_no_tensor_is_refused() {
    for (json, why) in [
        ("[[1, 2], [3]]", "2 and 1 elements"),
        ("[\"a\"]", "a number"),
        ("[null]", "a number"),
        ("7", "a list of numbers"),
        ("[[[[[1]]]]]", "deeper"),
    ] {
        let error = read(json).unwrap_err();
        assert!(error.contains(why), "{json}: {error}");
    }
}

proptest! {
    #[test]
    fn nesting_and_values_survive(rows in 1_usize..5, columns in 1_usize..5, seed in any::<u32>()) {
        let value = |i: usize| (seed.wrapping_mul(i as u32 + 1) % 1000) as f32 / 8.0;
        let nested: Vec<Vec<f32>> =
            (0..rows).map(|r| (0..columns).map(|c| value(r * columns + c)).collect()).collect();
        let data = read(&serde_json::to_string(&nested).unwrap()).unwrap();
        prop_assert_eq!(data.values, nested.concat());
        prop_assert_eq!(data.nesting, vec![rows, columns]);
    }

    #[test]
    fn any_text_is_read_or_refused_without_a_panic(text in "[\\[\\]0-9,. ]{0,40}") {
        let _ = read(&text);
    }
}
