use btvep_domain::Surface;
use http::Method;
use percent_encoding::percent_decode_str;

/// What a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// A prompt.
    Chat(Surface),
    /// The list of models.
    Models,
    /// One model, by its id.
    Model(String),
    /// Whether the process lives.
    Live,
    /// Whether it can serve.
    Ready,
}

/// Why a request is for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoRoute {
    /// No such path.
    Unknown,
    /// The path is known, the method is not.
    Method {
        /// For `Allow`.
        allow: &'static str,
        /// Whose manners the answer has.
        surface: Surface,
    },
    /// A browser asks what it may ask; also any other `OPTIONS`.
    Options {
        /// For `Allow`.
        allow: &'static str,
    },
}

const POST: &str = "POST, OPTIONS";
const GET: &str = "GET, HEAD, OPTIONS";

impl Route {
    /// Returns the route of a request; `/v1` before and slashes behind do not matter.
    pub(crate) fn of(method: &Method, path: &str) -> Result<Self, NoRoute> {
        let route = Self::of_path(path.trim_end_matches('/')).ok_or(NoRoute::Unknown)?;
        let (allow, surface) = match route {
            Self::Chat(surface) => (POST, surface),
            _ => (GET, Surface::OpenAi),
        };
        match *method {
            Method::OPTIONS => Err(NoRoute::Options { allow }),
            Method::POST if allow == POST => Ok(route),
            Method::GET | Method::HEAD if allow == GET => Ok(route),
            _ => Err(NoRoute::Method { allow, surface }),
        }
    }

    fn of_path(path: &str) -> Option<Self> {
        match path {
            "/chat" => return Some(Self::Chat(Surface::Legacy)),
            "/livez" => return Some(Self::Live),
            "/readyz" => return Some(Self::Ready),
            _ => {}
        }
        match path.strip_prefix("/v1").filter(|rest| rest.starts_with('/')).unwrap_or(path) {
            "/chat/completions" => Some(Self::Chat(Surface::OpenAi)),
            "/models" => Some(Self::Models),
            // A model's id may itself have slashes, also written as %2F.
            rest => match rest.strip_prefix("/models/") {
                Some(id) if !id.is_empty() => {
                    Some(Self::Model(percent_decode_str(id).decode_utf8_lossy().into_owned()))
                }
                _ => None,
            },
        }
    }

    /// Returns its label in metrics.
    pub(crate) const fn label(&self) -> &'static str {
        match self {
            Self::Chat(Surface::OpenAi) => "chat_completions",
            Self::Chat(Surface::Legacy) => "chat",
            Self::Models => "models",
            Self::Model(_) => "model",
            Self::Live => "livez",
            Self::Ready => "readyz",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "a table reads better without references")]
    fn check(method: Method, path: &str, expected: Result<Route, NoRoute>) {
        assert_eq!(Route::of(&method, path), expected, "{method} {path}");
    }

    #[test]
    fn the_api_is_found_with_and_without_its_version() {
        for path in ["/v1/chat/completions", "/chat/completions", "/v1/chat/completions/", "/chat/completions//"] {
            check(Method::POST, path, Ok(Route::Chat(Surface::OpenAi)));
        }
        for path in ["/chat", "/chat/"] {
            check(Method::POST, path, Ok(Route::Chat(Surface::Legacy)));
        }
        for path in ["/v1/models", "/models", "/v1/models/"] {
            check(Method::GET, path, Ok(Route::Models));
            check(Method::HEAD, path, Ok(Route::Models));
        }
        check(Method::GET, "/livez", Ok(Route::Live));
        check(Method::HEAD, "/readyz", Ok(Route::Ready));
    }

    #[test]
    fn a_model_s_id_may_have_slashes() {
        for path in ["/v1/models/org/name:top_n=3", "/models/org%2Fname:top_n=3", "/v1/models/org%2fname%3Atop_n=3/"] {
            check(Method::GET, path, Ok(Route::Model("org/name:top_n=3".into())));
        }
    }

    #[test]
    fn what_is_not_served_is_told() {
        for path in ["/", "", "/v1", "/v1/", "/v1/chat", "/v2/models", "/v1models", "/v1/livez", "/chat/x", "*"] {
            check(Method::POST, path, Err(NoRoute::Unknown));
        }
        check(Method::GET, "/chat", Err(NoRoute::Method { allow: POST, surface: Surface::Legacy }));
        check(Method::HEAD, "/v1/chat/completions", Err(NoRoute::Method { allow: POST, surface: Surface::OpenAi }));
        check(Method::DELETE, "/v1/models/x", Err(NoRoute::Method { allow: GET, surface: Surface::OpenAi }));
        check(Method::OPTIONS, "/v1/chat/completions", Err(NoRoute::Options { allow: POST }));
        check(Method::OPTIONS, "/nothing", Err(NoRoute::Unknown));
    }
}
