//! The `remaster` program: everything is in the library and in `cli`.

fn main() {}
