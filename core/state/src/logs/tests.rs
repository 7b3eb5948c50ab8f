use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicI64;

use btvep_testkit::suite;
use btvep_testkit::suite::row;
use tempfile::TempDir;

use super::*;

const DAY_MS: i64 = 86_400_000;
/// 2023-11-14, 22:13:20.
const AT_MS: i64 = 1_700_000_000_000;

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn open(directory: &TempDir, config: &LogsConfig, now: i64) -> SegmentLogs {
    SegmentLogs::open_at(directory.path().to_owned(), config, Arc::new(move || now)).unwrap()
}

async fn ids(logs: &SegmentLogs, query: LogQuery) -> Vec<String> {
    logs.query(query).await.unwrap().iter().map(|row| row.request_id.to_string()).collect()
}

#[tokio::test]
async fn segments_keep_logs() {
    let directories = Mutex::new(Vec::new());
    suite::logs(|| {
        let directory = tempfile::tempdir().unwrap();
        let logs = open(&directory, &LogsConfig::default(), AT_MS + 1_000);
        directories.lock().push(directory);
        Arc::new(logs)
    })
    .await;
}

#[tokio::test]
async fn every_day_has_its_files_and_a_late_row_stands_in_the_newest() {
    let directory = tempfile::tempdir().unwrap();
    let logs = open(&directory, &LogsConfig { retain_days: 0, ..LogsConfig::default() }, AT_MS + 3 * DAY_MS);
    logs.append(row("first", AT_MS));
    logs.append(row("second", AT_MS + DAY_MS));
    logs.append(row("late", AT_MS + 1));
    logs.append(row("from the future", AT_MS + 900 * DAY_MS));
    assert_eq!(ids(&logs, LogQuery::default()).await, ["from the future", "late", "second", "first"]);
    let expected = ["2023-11-14.000.jsonl", "2023-11-15.000.jsonl", "2023-11-17.000.jsonl"];
    assert_eq!(names(directory.path()), expected);
    let first_day = LogQuery { end_ms: Some(AT_MS + 2), ..LogQuery::default() };
    assert_eq!(ids(&logs, first_day).await, ["late", "first"]);
    let second_day = LogQuery { start_ms: Some(AT_MS + 2), end_ms: Some(AT_MS + 2 * DAY_MS), ..LogQuery::default() };
    assert_eq!(ids(&logs, second_day).await, ["second"]);
}

#[tokio::test]
async fn a_full_file_is_followed_by_the_next_and_the_oldest_go() {
    let directory = tempfile::tempdir().unwrap();
    let config = LogsConfig { segment_bytes: 1_000, retain_bytes: 3_000, ..LogsConfig::default() };
    fs::write(directory.path().join("notes.txt"), "x".repeat(10_000)).unwrap();
    let logs = open(&directory, &config, AT_MS);
    for place in 0..100 {
        logs.append(row(&format!("row-{place}"), AT_MS));
        logs.flush().await.unwrap();
    }
    let kept = ids(&logs, LogQuery { lines: Some(1_000), ..LogQuery::default() }).await;
    assert_eq!(kept.first().unwrap(), "row-99");
    assert!((5..30).contains(&kept.len()), "{} rows are kept", kept.len());
    drop(logs);
    let names = names(directory.path());
    assert!(names.contains(&"notes.txt".to_owned()), "a foreign file was deleted");
    let bytes: u64 = names
        .iter()
        .filter(|name| name.ends_with("jsonl"))
        .map(|name| fs::metadata(directory.path().join(name)).unwrap().len())
        .sum();
    assert!(bytes <= 4_000, "{bytes} bytes are kept");
    // The number goes on where the last process stopped.
    let logs = open(&directory, &config, AT_MS);
    logs.append(row("again", AT_MS));
    assert_eq!(ids(&logs, LogQuery { lines: Some(2), ..LogQuery::default() }).await, ["again", "row-99"]);
}

#[tokio::test]
async fn old_days_are_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let keep_all = LogsConfig { retain_days: 0, ..LogsConfig::default() };
    let logs = open(&directory, &keep_all, AT_MS + 100 * DAY_MS);
    for days in 0..40 {
        logs.append(row(&format!("day-{days}"), AT_MS + days * DAY_MS));
    }
    logs.flush().await.unwrap();
    drop(logs);
    assert_eq!(names(directory.path()).len(), 40);
    let now = Arc::new(AtomicI64::new(AT_MS + 10 * DAY_MS));
    let keep_five = LogsConfig { retain_days: 5, ..LogsConfig::default() };
    let clock: Clock = Arc::new(move || now.load(Ordering::Relaxed));
    let logs = SegmentLogs::open_at(directory.path().to_owned(), &keep_five, clock).unwrap();
    logs.flush().await.unwrap();
    assert_eq!(names(directory.path()).first().unwrap(), "2023-11-19.000.jsonl");
}

#[tokio::test]
async fn a_torn_row_is_dropped_and_the_rest_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let config = LogsConfig::default();
    let logs = open(&directory, &config, AT_MS);
    logs.append(row("whole", AT_MS));
    logs.flush().await.unwrap();
    drop(logs);
    let file = directory.path().join("2023-11-14.000.jsonl");
    let text = fs::read_to_string(&file).unwrap();
    for cut in 1..text.len() {
        fs::write(&file, format!("{text}{}", &text[..cut])).unwrap();
        let logs = open(&directory, &config, AT_MS);
        logs.append(row("next", AT_MS));
        assert_eq!(ids(&logs, LogQuery::default()).await, ["next", "whole"], "torn at {cut}");
    }
}

#[tokio::test]
async fn a_full_queue_drops_rows_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let (stuck, config) = (Arc::new(Mutex::new(())), LogsConfig { queue: 4, ..LogsConfig::default() });
    let clock: Clock = {
        let stuck = Arc::clone(&stuck);
        Arc::new(move || {
            drop(stuck.lock());
            AT_MS
        })
    };
    let held = stuck.lock();
    let logs = SegmentLogs::open_at(directory.path().to_owned(), &config, clock).unwrap();
    // The writer may have taken some rows before it got stuck; after these the queue is surely full.
    let dropped = (0..50).filter(|place| logs.append(row(&place.to_string(), AT_MS)) == Appended::Dropped).count();
    assert!(dropped >= 50 - 9, "only {dropped} rows were dropped");
    assert_eq!(logs.dropped(), dropped as u64);
    drop(held);
    let rows = logs.query(LogQuery::default()).await.unwrap();
    assert_eq!(rows[0].outcome, "rows_dropped");
    assert!(rows[0].error.as_ref().unwrap().starts_with(&format!("{dropped} rows")), "{:?}", rows[0].error);
    assert_eq!(rows.len(), 50 - dropped + 1);
}

#[tokio::test]
async fn rows_lost_to_a_broken_disk_are_counted_and_later_ones_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let inner = directory.path().join("logs");
    fs::create_dir(&inner).unwrap();
    let logs = SegmentLogs::open_at(inner.clone(), &LogsConfig::default(), Arc::new(|| AT_MS)).unwrap();
    fs::rename(&inner, directory.path().join("away")).unwrap();
    logs.append(row("lost", AT_MS));
    logs.flush().await.unwrap();
    assert_eq!(logs.dropped(), 1);
    fs::rename(directory.path().join("away"), &inner).unwrap();
    logs.append(row("kept", AT_MS));
    logs.flush().await.unwrap();
    let rows = logs.query(LogQuery::default()).await.unwrap();
    assert_eq!(rows.last().map(|row| &*row.request_id), Some("kept"));
    assert!(rows[0].error.as_ref().unwrap().starts_with("1 rows"), "{:?}", rows[0].error);
    assert_eq!(logs.dropped(), 1);
}
