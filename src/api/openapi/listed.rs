//! Which paths there are, and which methods each takes.

use std::collections::BTreeMap;

use http::Method;
use warp::Filter;
use warp::path::FullPath;

use super::document::document;
use super::operation::{Needs, Operation};

/// In which order methods are named.
const ORDER: [Method; 5] = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE];

/// The paths and methods of all operations.
#[derive(Debug, Default)]
pub(in crate::api) struct Listed(Vec<Place>);

/// A path, in which a part between `{` and `}` stands for any text, and what it takes.
#[derive(Debug)]
struct Place {
    parts: Vec<&'static str>,
    /// Each with what stands for it.
    methods: Vec<(Method, Taken)>,
    /// The methods as the header `Allow` names them.
    allow: String,
}

/// An operation, at one of its paths.
#[derive(Clone, Copy, Debug)]
pub(in crate::api) struct Taken {
    /// Its name among all, which metrics and the audit tell, too.
    pub(in crate::api) id: &'static str,
    /// Who may ask for it.
    pub(in crate::api) needs: Needs,
}

impl Listed {
    pub(super) fn of(operations: &[Operation]) -> Self {
        let mut places: BTreeMap<&'static str, Vec<(Method, Taken)>> = BTreeMap::new();
        for operation in operations {
            let taken = Taken { id: operation.id, needs: operation.needs };
            for path in operation.also.iter().chain([&operation.path]) {
                places.entry(path).or_default().push((operation.method.clone(), taken));
            }
        }
        let place = |(path, mut methods): (&'static str, Vec<(Method, Taken)>)| {
            methods.sort_by_key(|(method, _)| ORDER.iter().position(|other| other == method));
            let names: Vec<&str> = methods.iter().map(|(method, _)| method.as_str()).collect();
            let allow = names.join(", ");
            Place { parts: parts(path).collect(), methods, allow }
        };
        Self(places.into_iter().map(place).collect())
    }

    /// The methods that a path takes, as the header `Allow` names them; `None`: there is no such path.
    pub(in crate::api) fn allow(&self, path: &str) -> Option<&str> {
        Some(self.place(path)?.allow.as_str())
    }

    /// The name of the operation that a request asks for; `None`: there is none.
    pub(in crate::api) fn operation(&self, method: &Method, path: &str) -> Option<&'static str> {
        self.taken(method, path).map(|taken| taken.id)
    }

    /// What a request asks for; `None`: no operation describes it.
    pub(in crate::api) fn taken(&self, method: &Method, path: &str) -> Option<Taken> {
        let methods = &self.place(path)?.methods;
        methods.iter().find(|(other, _)| other == method).map(|(_, taken)| *taken)
    }

    fn has(&self, method: &Method, path: &str) -> bool {
        self.taken(method, path).is_some()
    }

    /// Of several the one that has the most fixed parts.
    fn place(&self, path: &str) -> Option<&Place> {
        let matching = self.0.iter().filter(|place| place.matches(path));
        matching.min_by_key(|place| place.parts.iter().filter(|part| is_any(part)).count())
    }
}

impl Place {
    fn matches(&self, path: &str) -> bool {
        let mut given = parts(path);
        let all = self.parts.iter().all(|part| {
            let given = given.next();
            given.is_some_and(|given| if is_any(part) { !given.is_empty() } else { given == *part })
        });
        all && given.next().is_none()
    }
}

fn is_any(part: &str) -> bool {
    part.starts_with('{')
}

/// The parts of a path. A slash at its end counts for nothing.
fn parts(path: &str) -> impl Iterator<Item = &str> {
    let path = path.strip_prefix('/').unwrap_or(path);
    path.strip_suffix('/').unwrap_or(path).split('/')
}

/// Lets a request pass if an operation describes it. So nothing is served that the document does not tell of.
pub(in crate::api) fn listed() -> impl Filter<Extract = (), Error = warp::Rejection> + Clone {
    let check = |method: Method, path: FullPath| async move {
        if document().listed.has(&method, path.as_str()) { Ok(()) } else { Err(warp::reject::not_found()) }
    };
    warp::method().and(warp::path::full()).and_then(check).untuple_one()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(method: Method, path: &'static str) -> Operation {
        Operation::new(method, path, Needs::Nothing, "id", "tag", "summary")
    }

    #[test]
    fn a_path_takes_the_methods_of_its_operations_and_a_fixed_part_goes_before_any_text() {
        let listed = Listed::of(&[
            operation(Method::DELETE, "/jobs/{job}"),
            operation(Method::GET, "/jobs/{job}").also_at(&["/rest/jobs/{job}"]),
            operation(Method::POST, "/jobs/count"),
            operation(Method::GET, "/jobs"),
        ]);

        assert_eq!(listed.allow("/jobs/a%2Fb"), Some("GET, DELETE"));
        assert_eq!(listed.allow("/rest/jobs/a/"), Some("GET"));
        assert_eq!(listed.allow("/jobs/count"), Some("POST"));
        assert_eq!(listed.allow("/jobs/"), Some("GET"));
        for path in ["", "/", "/job", "/jobs/a/b", "//jobs", "/jobs//", "/rest/jobs"] {
            assert_eq!(listed.allow(path), None, "{path}");
        }
        assert!(listed.has(&Method::GET, "/jobs") && !listed.has(&Method::POST, "/jobs"));
    }

    #[tokio::test]
    async fn a_route_without_an_operation_is_not_served() {
        let route = listed().and(warp::path!("secret").or(warp::path!("ping")).unify().map(|| "served"));

        assert!(warp::test::request().path("/ping").matches(&route).await);
        assert!(!warp::test::request().path("/secret").matches(&route).await);
        assert!(!warp::test::request().method("POST").path("/ping").matches(&route).await);
    }
}
