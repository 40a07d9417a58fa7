//! Disks that are full, small or closed.

use std::path::Path;
use std::time::{Duration, Instant};

use endspan_spool::{Log, Meta, Notice, Options};

use crate::common::{self, append, payload, poll_all, recover_all, small, temporary};
use crate::{forks, said, say, start};

pub(crate) fn limited_file_size(directory: &Path) {
    let limit = rustix::process::Rlimit { current: Some(8 << 10), maximum: None };
    rustix::process::setrlimit(rustix::process::Resource::Fsize, limit).expect("limit");
    let mut opened = Log::open(Options { segment_bytes: 64 << 10, ..small(Some(directory)) }).expect("open");
    let notices = opened.consumer.take_notices();
    assert!(matches!(&notices[..], [Notice::SpoolUnavailable { .. }]), "{notices:?}");
    for i in 0..250 {
        append(&opened, i, &[i; 300]);
        opened.consumer.maintain();
    }
    assert_eq!(poll_all(&mut opened).len(), 250);
    say("survived");
}

#[test]
fn a_file_size_limit_does_not_kill() {
    let directory = temporary();
    let mut child = start("limited file size", directory.path());
    assert_eq!(said(&mut child).last().as_deref(), Some("survived"));
    assert!(child.wait().expect("wait").success());
}

/// Fills a file system of 512 KiB; needs the right to mount, and says so where there is none.
#[cfg(target_os = "linux")]
pub(crate) fn tiny_file_system(directory: &Path) {
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt as _;

    let target = CString::new(directory.as_os_str().as_bytes()).expect("path");
    // SAFETY: all strings are nul-terminated and live through the calls; the mount is in a namespace of its own.
    let mounted = unsafe {
        libc::unshare(libc::CLONE_NEWNS) == 0
            && libc::mount(
                std::ptr::null(),
                c"/".as_ptr(),
                std::ptr::null(),
                libc::MS_REC | libc::MS_PRIVATE,
                std::ptr::null(),
            ) == 0
            && libc::mount(
                c"tmpfs".as_ptr(),
                target.as_ptr(),
                c"tmpfs".as_ptr(),
                0,
                c"size=512k".as_ptr().cast(),
            ) == 0
    };
    if !mounted {
        say("no right to mount");
        return;
    }
    let retry = Duration::from_millis(1);
    let options = Options {
        segment_bytes: 64 << 10,
        max_bytes: 4 << 20,
        max_resident_bytes: 4 << 20,
        disk_retry_interval: retry,
        ..small(Some(directory))
    };
    let mut opened = Log::open(options).expect("open");
    let mut notices = Vec::new();
    for i in 0..2000u32 {
        opened.log.append(Meta::default(), &[&i.to_le_bytes(), &[1; 996]]).expect("append");
        notices.extend(opened.consumer.maintain().notices);
    }
    assert!(matches!(&notices[0], Notice::SpoolUnavailable { .. }), "{notices:?}");
    let records = poll_all(&mut opened);
    assert_eq!(records.len(), 2000);
    for (i, record) in records.iter().enumerate() {
        assert_eq!(payload(record)[..4], (i as u32).to_le_bytes());
        record.mark(0);
    }
    let later = Instant::now() + Duration::from_secs(3600);
    for _ in 0..10 {
        notices.extend(opened.consumer.maintain_at(later).notices);
    }
    assert_eq!(notices.last(), Some(&Notice::SpoolRestored));
    assert!(opened.log.stats().disk_bytes > 0);
    say("survived");
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn tiny_file_system(_: &Path) {
    say("no right to mount");
}

#[test]
fn a_full_file_system_does_not_kill() {
    let directory = temporary();
    let mut child = start("tiny file system", directory.path());
    match said(&mut child).last().as_deref() {
        Some("survived") => {}
        Some("no right to mount") => eprintln!("skipped: no right to mount a small file system"),
        other => panic!("{other:?}"),
    }
    assert!(child.wait().expect("wait").success());
}

#[test]
fn a_directory_without_write_permission_is_no_error() {
    use std::os::unix::fs::PermissionsExt as _;

    let spool = common::dead_spool(5, 100);
    std::fs::set_permissions(spool.path(), std::fs::Permissions::from_mode(0o555)).expect("chmod");
    let code = forks::in_fork(|| {
        // The superuser may write everywhere.
        // SAFETY: changes this process's user only.
        unsafe { libc::setuid(65534) };
        let mut opened = common::open(spool.path());
        let notices = opened.consumer.take_notices();
        if !notices.iter().any(|notice| matches!(notice, Notice::SpoolUnavailable { .. })) {
            return 1;
        }
        append(&opened, 1, b"x");
        opened.consumer.maintain();
        if poll_all(&mut opened).len() != 1 || opened.log.stats().spooling {
            return 2;
        }
        i32::from(!recover_all(&mut opened).is_empty()) * 3
    });
    std::fs::set_permissions(spool.path(), std::fs::Permissions::from_mode(0o755)).expect("chmod");
    assert_eq!(code, 0);
}

#[test]
fn only_the_owner_may_look() {
    use std::os::unix::fs::PermissionsExt as _;

    let directory = temporary();
    let base = directory.path().join("made/by/the/log");
    let opened = common::open(&base);
    append(&opened, 1, b"secret");
    let mode = |path: &Path| std::fs::metadata(path).expect("metadata").permissions().mode() & 0o777;
    assert_eq!(mode(&base), 0o700);
    for segment in common::segments(&base) {
        let instance = segment.parent().expect("parent");
        assert_eq!(mode(instance), 0o700);
        assert_eq!(mode(&segment), 0o600);
        assert_eq!(mode(&instance.join("lock")), 0o600);
    }
}
