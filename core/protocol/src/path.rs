//! Request paths as configured.

use http::uri::PathAndQuery;

/// The path cannot stand in a request line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no path; it begins with `/`, and spaces are written `%20`")]
pub struct InvalidPath(pub String);

/// Checks a path with its query; it is sent, and signed, exactly as written.
pub(crate) fn check(path: &str) -> Result<(), InvalidPath> {
    let is_sent_as_written =
        path.starts_with('/') && !path.contains('#') && path.parse::<PathAndQuery>().is_ok_and(|p| p.as_str() == path);
    if is_sent_as_written { Ok(()) } else { Err(InvalidPath(path.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_what_a_request_line_can_hold() {
        for good in ["/", "/v1/chat/completions", "/generate?stream=false&x=a%20b"] {
            assert_eq!(check(good), Ok(()));
        }
        for bad in ["", "v1", "/a b", "/a#b", "http://x/y", "/a\r\nx: y", "/\u{1}"] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
