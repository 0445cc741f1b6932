//! Stamping a stamped image is stamping its base.

use crate::support::{WAYS, assert_same, bases, bytes, edits, stamp};
use remaster::stamped::Base;

#[test]
fn the_last_stamp_is_all_that_counts() {
    for (name, base) in bases() {
        for way in WAYS {
            let expected = stamp(base, &edits(2, way));
            assert_same(name, &stamp(&expected, &edits(2, way)), &expected);
            for before in WAYS {
                let once = stamp(base, &edits(1, before));
                let what = format!("{name}, {before:?} then {way:?}");
                assert!(once != expected, "{what}: both keys give the same image");
                assert_same(&what, &stamp(&once, &edits(2, way)), &expected);
            }
        }
    }
}

#[test]
fn below_a_stamped_image_lies_the_base() {
    for (name, base) in bases() {
        for way in WAYS {
            let stamped = stamp(base, &edits(1, way));
            let below = Base::of(stamped.as_slice()).unwrap();
            assert!(below.stamped.is_some());
            assert_same(name, &bytes(&below.image), base);
        }
    }
}

#[test]
fn a_stock_image_is_its_own_base() {
    for (name, base) in bases() {
        let found = Base::of(base).unwrap();
        assert!(found.stamped.is_none());
        assert_same(name, &bytes(&found.image), base);
    }
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    for (name, base) in bases() {
        for way in WAYS {
            assert_same(name, &stamp(base, &edits(1, way)), &stamp(base, &edits(1, way)));
        }
    }
}

#[test]
fn below_an_image_on_a_longer_stick_lies_the_base() {
    for (name, base) in bases() {
        let stamped = stamp(base, &edits(1, WAYS[0]));
        let longer = [stamped.as_slice(), &[0; 4096]].concat();
        let below = Base::of(longer.as_slice()).unwrap();
        assert_same(name, &bytes(&below.image), base);
    }
}
