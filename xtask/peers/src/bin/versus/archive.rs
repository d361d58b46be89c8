//! The archive of `packages`: the demo's, unpacked once, because not every language unpacks.

use crate::Failure;
use crate::rows::Row;
use flate2::read::GzDecoder;
use peers::report;
use std::fs::File;
use std::path::Path;

/// Unpacks the archive if one of the rows needs it, and tells these rows where it is.
pub(crate) fn provide(rows: &mut [Row]) -> Result<(), Failure> {
    let mut rows = rows.iter_mut().filter(|row| row.workload == "packages");
    let Some(first) = rows.next() else {
        return Ok(());
    };
    let packed = "../../runtime/examples/demo/data/debian-bookworm-packages.tsv.gz";
    let packed = File::open(Path::new(env!("CARGO_MANIFEST_DIR")).join(packed))?;
    let folder = report::folder();
    std::fs::create_dir_all(&folder)?;
    let folder = folder.canonicalize()?;
    let (new, kept) = (folder.join("packages.new"), folder.join("packages.tsv"));
    // Renamed, because another run may be reading the one that is there.
    std::io::copy(&mut GzDecoder::new(packed), &mut File::create(&new)?)?;
    std::fs::rename(new, &kept)?;
    let arg = format!("data={}", kept.display());
    for row in std::iter::once(first).chain(rows) {
        row.args.push(arg.clone());
    }
    Ok(())
}
