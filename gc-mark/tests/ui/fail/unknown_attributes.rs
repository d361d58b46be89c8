//! An attribute that is ignored would be a promise that nobody keeps.

#[derive(gc_mark::Trace)]
#[trace(no_scan)]
struct OnType;

#[derive(gc_mark::Trace)]
struct OnField {
    #[trace(skipped)]
    field: u8,
}

#[derive(gc_mark::Trace)]
enum OnVariant {
    #[trace(skip)]
    Variant(u8),
}

#[derive(gc_mark::Trace)]
#[trace(noscan, noscan)]
struct Twice;

#[derive(gc_mark::Trace)]
#[trace(brand = 'gc)]
struct Valued;

#[derive(gc_mark::Trace)]
#[trace]
struct Bare;

fn main() {}
