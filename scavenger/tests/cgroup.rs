//! The limit of a control group, over files as several systems show them.
//!
//! Mutants: `ancestors-ignored`, `mount-root-ignored`, `unlimited-is-a-limit`, `high-ignored`.

use std::collections::HashMap;
use std::path::Path;

use scavenger::cgroup::{limit_by, limit_bytes, limit_files, parse_limit};

const GIB: usize = 1 << 30;

/// A small tree of files.
fn limit(files: &[(&str, &str)]) -> Option<usize> {
    let files: HashMap<&Path, &str> = files
        .iter()
        .map(|(path, text)| (Path::new(*path), *text))
        .collect();
    limit_by(|path| files.get(path).map(|text| (*text).to_owned()))
}

/// `/proc/self/mountinfo` of a desktop with version 2.
const MOUNTS_OF_2: &str = "\
22 28 0:21 / /proc rw,nosuid,nodev,noexec,relatime shared:14 - proc proc rw
30 24 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate
";

#[test]
fn version_2_the_lowest_of_group_and_ancestors_counts() {
    let slice = "/sys/fs/cgroup/user.slice";
    let files = |own: &'static str, above: &'static str, high: &'static str| {
        limit(&[
            ("/proc/self/cgroup", "0::/user.slice/app.scope\n"),
            ("/proc/self/mountinfo", MOUNTS_OF_2),
            (&format!("{slice}/app.scope/memory.max"), own),
            (&format!("{slice}/app.scope/memory.high"), high),
            (&format!("{slice}/memory.max"), above),
        ])
    };
    assert_eq!(files("max\n", "max\n", "max\n"), None);
    assert_eq!(files("2147483648\n", "max\n", "max\n"), Some(2 * GIB));
    assert_eq!(files("2147483648\n", "1073741824\n", "max\n"), Some(GIB));
    assert_eq!(files("2147483648\n", "max\n", "1073741824\n"), Some(GIB));
}

#[test]
fn version_2_in_a_container_with_a_namespace_of_its_own() {
    let found = limit(&[
        ("/proc/self/cgroup", "0::/\n"),
        ("/proc/self/mountinfo", MOUNTS_OF_2),
        ("/sys/fs/cgroup/memory.max", "536870912\n"),
    ]);
    assert_eq!(found, Some(GIB / 2));
}

/// Without such a namespace the group's path begins where the mount's root does.
#[test]
fn version_1_in_a_container() {
    let mounts = "\
911 910 0:30 /docker/7f3a /sys/fs/cgroup/cpu,cpuacct ro,relatime - cgroup cgroup rw,cpu,cpuacct
912 910 0:33 /docker/7f3a /sys/fs/cgroup/memory ro,relatime master:17 - cgroup cgroup rw,memory
";
    let groups = "9:cpu,cpuacct:/docker/7f3a\n4:memory:/docker/7f3a/inner\n1:name=systemd:/x\n";
    let files = |inner: &'static str| {
        limit(&[
            ("/proc/self/cgroup", groups),
            ("/proc/self/mountinfo", mounts),
            (
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                "1073741824\n",
            ),
            ("/sys/fs/cgroup/memory/inner/memory.limit_in_bytes", inner),
            // Not a limit of memory, and not in the mount's part of the tree.
            ("/sys/fs/cgroup/cpu,cpuacct/memory.limit_in_bytes", "4096\n"),
            (
                "/sys/fs/cgroup/memory/docker/memory.limit_in_bytes",
                "4096\n",
            ),
        ])
    };
    assert_eq!(files("9223372036854771712\n"), Some(GIB));
    assert_eq!(files("536870912\n"), Some(GIB / 2));
}

/// Memory under version 1 beside an empty tree of version 2: both are looked at.
#[test]
fn both_versions_at_once() {
    let mounts = "\
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";
    let groups = "4:memory:/jobs/17\n0::/\n";
    let files = limit_files(groups, mounts);
    let shown: Vec<String> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    let expected = [
        "/sys/fs/cgroup/memory/jobs/17/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/jobs/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/unified/memory.max",
        "/sys/fs/cgroup/unified/memory.high",
    ];
    assert_eq!(shown, expected);
}

#[test]
fn strange_files_do_no_harm() {
    for (text, bytes) in [
        ("0\n", Some(0)),
        (" 4096 ", Some(4096)),
        ("max", None),
        ("", None),
        ("-1", None),
        ("4611686018427387903", Some((1 << 62) - 1)),
        ("4611686018427387904", None),
        ("9223372036854771712", None),
        ("99999999999999999999999999", None),
    ] {
        assert_eq!(parse_limit(text), bytes, "{text:?}");
    }
    for text in [
        "",
        "x",
        "::",
        "0::",
        " - ",
        "1 2 3 / - cgroup2",
        "\\ - cgroup cgroup rw",
    ] {
        assert!(limit_files(text, MOUNTS_OF_2).len() <= 2, "{text:?}");
        assert!(limit_files("0::/\n", text).is_empty(), "{text:?}");
    }
    // A process outside of the namespace that it looks from.
    assert_eq!(limit_files("0::/../../a", MOUNTS_OF_2).len(), 2);
    let blank = "1 2 3 / /mnt/a\\040b\\9 rw - cgroup2 none rw";
    let files = limit_files("0::/", blank);
    assert_eq!(files[0], Path::new("/mnt/a b\\9/memory.max"));
}

/// On this machine: whatever it says, it is a limit that this process keeps.
#[cfg(target_os = "linux")]
#[test]
fn this_process_is_below_its_limit() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kib: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    println!("limit {:?}, resident {kib} KiB", limit_bytes());
    assert!(limit_bytes().is_none_or(|bytes| bytes >= kib << 10));
}
