//! The one place that names threads and atomics: std's, or loom's under
//! `--cfg heapwright_loom` with the `loom` feature.

#[cfg(all(heapwright_loom, not(feature = "loom")))]
compile_error!("`--cfg heapwright_loom` needs this crate's feature `loom` as well");
