use std::time::Duration;

use parking_lot::Mutex;

/// Rows of requests without a key in one second.
const ROWS_PER_SECOND: u32 = 10;

/// Bounds the rows that requests without a key can cause.
#[derive(Debug, Default)]
pub(super) struct Strangers(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    second: u64,
    rows: u32,
    skipped: u64,
}

impl Strangers {
    /// Returns whether the request received at this monotonic time may have a row; counts it otherwise.
    pub(super) fn admit(&self, received_at: Duration) -> bool {
        let mut window = self.0.lock();
        // Requests end in another order than they came: a late one counts for the newest second.
        if received_at.as_secs() > window.second {
            window.second = received_at.as_secs();
            window.rows = 0;
        }
        if window.rows >= ROWS_PER_SECOND {
            window.skipped = window.skipped.saturating_add(1);
            return false;
        }
        window.rows += 1;
        true
    }

    /// Returns how many had none.
    pub(super) fn skipped(&self) -> u64 {
        self.0.lock().skipped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends requests received at these milliseconds and checks how many have a row.
    #[track_caller]
    fn check(received_ms: impl IntoIterator<Item = u64>, rows: usize, skipped: u64) {
        let strangers = Strangers::default();
        let admitted = received_ms.into_iter().filter(|ms| strangers.admit(Duration::from_millis(*ms))).count();
        assert_eq!((admitted, strangers.skipped()), (rows, skipped));
    }

    #[test]
    fn ten_rows_a_second_and_the_rest_is_counted() {
        check((5_000..5_300).step_by(10), 10, 20);
    }

    #[test]
    fn each_second_has_its_ten() {
        check((0..3_000).step_by(10), 30, 270);
    }

    #[test]
    fn late_ends_open_no_second_window() {
        check([5_000; 10].into_iter().chain([4_000; 10]), 10, 10);
    }
}
