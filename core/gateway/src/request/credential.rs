use btvep_domain::{Credential, Secret};
use http::{HeaderMap, header};

/// Returns what a client presented: `Authorization: Bearer`, or else `x-api-key` or `api-key`.
pub(crate) fn credential(headers: &HeaderMap) -> Credential {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let authorization = text(header::AUTHORIZATION.as_str()).unwrap_or_default();
    let (scheme, key) = authorization.split_once(' ').unwrap_or((authorization, ""));
    let key = key.trim_start();
    if scheme.eq_ignore_ascii_case("bearer") && !key.is_empty() {
        return Credential::Key(Secret::new(key));
    }
    let beside = ["x-api-key", "api-key"].into_iter().filter_map(text).find(|key| !key.is_empty());
    if let Some(key) = beside {
        return Credential::Key(Secret::new(key));
    }
    // Of an unreadable header nobody knows more than that it is there.
    let unreadable = authorization.is_empty() && headers.get(header::AUTHORIZATION).is_some_and(|h| !h.is_empty());
    if key.is_empty() && !unreadable { Credential::Missing } else { Credential::WrongScheme }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[track_caller]
    fn check(lines: &[(&'static str, &'static [u8])], expected: &str) {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap());
        }
        let found = match credential(&headers) {
            Credential::Missing => "missing".to_owned(),
            Credential::WrongScheme => "scheme".to_owned(),
            Credential::Key(key) => key.expose().to_owned(),
        };
        assert_eq!(found, expected, "{lines:?}");
    }

    #[test]
    fn keys_are_found_where_clients_put_them() {
        check(&[("authorization", b"Bearer k1")], "k1");
        check(&[("authorization", b"bearer   k1 ")], "k1");
        check(&[("x-api-key", b"k2")], "k2");
        check(&[("api-key", b"k3")], "k3");
        check(&[("authorization", b"Bearer k1"), ("x-api-key", b"k2")], "k1");
        check(&[("authorization", b"Basic abc"), ("x-api-key", b"k2")], "k2");
    }

    #[test]
    fn what_is_no_key_is_told_apart() {
        check(&[], "missing");
        check(&[("authorization", b"")], "missing");
        check(&[("authorization", b"Bearer")], "missing");
        check(&[("authorization", b"Bearer ")], "missing");
        check(&[("authorization", b"Basic abc")], "scheme");
        check(&[("authorization", b"Bearer \xff")], "scheme");
    }
}
