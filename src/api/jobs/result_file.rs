//! The body of a target's answer as a download: from its record, or piece by piece from the store.

use std::borrow::Cow;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_RANGE, RANGE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::value::RawValue;
use warp::Reply;
use warp::reply::Response;

use super::range::{self, Part};
use super::view::RunDocument;
use super::{Answered, results_kept_since, unavailable};
use crate::api::Services;
use crate::api::problem::Problem;
use crate::catalog::{Catalog, CatalogError};
use crate::model::{Record, RecordKind, RunId};
use crate::store::RESULT_PIECE;

/// What an answer without a type of its own is.
const UNTYPED: &str = "application/octet-stream";

/// Where the bytes of a result are.
enum Body {
    Whole(Bytes),
    Pieces { run: RunId, size: u64 },
}

impl Body {
    fn size(&self) -> u64 {
        match self {
            Self::Whole(bytes) => bytes.len() as u64,
            Self::Pieces { size, .. } => *size,
        }
    }
}

/// Answers with the result of a run, or the part of it that is asked for.
pub(super) async fn answer(services: &Services, method: &Method, headers: &HeaderMap, record: Record) -> Answered {
    let document = RunDocument::of(&record);
    let body = find(services, &record, &document).await?;
    let etag = format!("\"{}\"", record.id);
    let wanted = header(headers, &RANGE).filter(|_| is_same(header(headers, &IF_RANGE), &etag));
    let (size, part) = (body.size(), range::read(wanted, body.size()));
    let mut reply = Response::default();
    let (status, range) = match part {
        Part::Whole => (StatusCode::OK, None),
        Part::Bytes(first, last) => (StatusCode::PARTIAL_CONTENT, Some(format!("bytes {first}-{last}/{size}"))),
        Part::Unsatisfiable => (StatusCode::RANGE_NOT_SATISFIABLE, Some(format!("bytes */{size}"))),
    };
    let (first, end) = match part {
        Part::Whole => (0, size),
        Part::Bytes(first, last) => (first, last + 1),
        Part::Unsatisfiable => (0, 0),
    };
    if *method != Method::HEAD && first < end {
        reply = part_of(services.catalog.clone(), body, first, end);
    }
    *reply.status_mut() = status;
    let content_type = document.content_type.as_deref().unwrap_or(UNTYPED);
    let all = [
        (ACCEPT_RANGES, "bytes".to_owned()),
        (CONTENT_TYPE, content_type.to_owned()),
        (CONTENT_LENGTH, (end - first).to_string()),
        (CONTENT_DISPOSITION, disposition(&record, content_type)),
        (ETAG, etag),
        // The target chose the type: a browser must not take it for a page of ours.
        (HeaderName::from_static("x-content-type-options"), "nosniff".to_owned()),
        (HeaderName::from_static("content-security-policy"), "sandbox".to_owned()),
    ];
    for (name, value) in all.into_iter().chain(range.map(|range| (CONTENT_RANGE, range))) {
        let value = HeaderValue::from_str(&value).unwrap_or_else(|_| HeaderValue::from_static(UNTYPED));
        reply.headers_mut().insert(name, value);
    }
    if document.result_truncated {
        reply.headers_mut().insert("x-schedule-truncated", HeaderValue::from_static("true"));
    }
    Ok(reply)
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn is_same(if_range: Option<&str>, etag: &str) -> bool {
    if_range.is_none_or(|given| given == etag)
}

async fn find(services: &Services, record: &Record, document: &RunDocument<'_>) -> Result<Body, Problem> {
    let run = RunId::from(record.id);
    let none = |detail| Problem::not_found("runId", &run.to_string(), detail, "a run that was answered");
    if record.kind == RecordKind::Started {
        return Err(none("the run is in progress, it has no result yet"));
    }
    let pieces = document.result_pieces.filter(|&pieces| pieces > 0);
    if pieces.is_none() && document.response.is_none() {
        return Err(none("the run has no result: no answer came"));
    }
    let gone = || Problem::gone("the result was deleted by retention ([history] results_retention_days)");
    if record.time < results_kept_since(services, services.catalog.now()) {
        return Err(gone());
    }
    let Some(pieces) = pieces else {
        return Ok(Body::Whole(from_record(document.response.map_or("", RawValue::get), document)));
    };
    services.catalog.result_piece(run, 0).await.map_err(unavailable)?.ok_or_else(gone)?;
    let size = document.result_size.unwrap_or(u64::MAX).min(u64::from(pieces) * RESULT_PIECE as u64);
    Ok(Body::Pieces { run, size })
}

/// The bytes as they came. JSON stands in the record as it was; a text stands there as a JSON string, which is longer.
fn from_record(response: &str, document: &RunDocument<'_>) -> Bytes {
    let lead = document.response_lead.as_deref().unwrap_or_default();
    let trail = document.response_trail.as_deref().unwrap_or_default();
    let as_json = format!("{lead}{response}{trail}");
    match serde_json::from_str::<Cow<'_, str>>(response) {
        Ok(text) if document.result_size != Some(as_json.len() as u64) => text.into_owned().into(),
        Ok(_) | Err(_) => as_json.into(),
    }
}

fn part_of(catalog: Catalog, body: Body, first: u64, end: u64) -> Response {
    match body {
        Body::Whole(bytes) => {
            let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
            Response::new(bytes.slice(place(first)..place(end)).into())
        }
        Body::Pieces { run, .. } => warp::reply::stream(pieces(catalog, run, first, end)).into_response(),
    }
}

/// The pieces from one byte to another, each read when the client has taken the one before.
fn pieces(
    catalog: Catalog,
    run: RunId,
    first: u64,
    end: u64,
) -> impl Stream<Item = Result<Bytes, CatalogError>> + Send + Sync + 'static {
    const PIECE: u64 = RESULT_PIECE as u64;
    let numbers = stream::iter(first / PIECE..=(end - 1) / PIECE);
    let read = numbers.then(move |number| {
        let catalog = catalog.clone();
        // Apart, as the body of an answer must be shareable between threads.
        tokio::spawn(async move {
            let piece = catalog.result_piece(run, u32::try_from(number).unwrap_or(u32::MAX)).await?;
            let piece = piece.ok_or(CatalogError::BrokeOff)?;
            let begin = number * PIECE;
            let place = |at: u64| usize::try_from(at.saturating_sub(begin)).unwrap_or(usize::MAX).min(piece.len());
            Ok(piece.slice(place(first)..place(end)))
        })
    });
    read.map(|joined| joined.unwrap_or(Err(CatalogError::BrokeOff)))
}

/// `attachment` with a name that says what it is.
fn disposition(record: &Record, content_type: &str) -> String {
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let extension = match media_type.as_str() {
        "application/json" => "json",
        "text/plain" => "txt",
        "text/html" => "html",
        "text/csv" => "csv",
        "application/xml" | "text/xml" => "xml",
        "application/pdf" => "pdf",
        "application/zip" => "zip",
        "application/gzip" => "gz",
        "image/png" => "png",
        "image/jpeg" => "jpg",
        _ => "bin",
    };
    let entry = record.entry().map(|entry| entry.as_str()).unwrap_or("result");
    let instant = RunId::from(record.id).instant().to_string().replace(':', "");
    let plain: String = entry.chars().map(|letter| if is_plain(letter) { letter } else { '_' }).collect();
    let encoded = utf8_percent_encode(entry, NON_ALPHANUMERIC);
    format!("attachment; filename=\"{plain}-{instant}.{extension}\"; filename*=UTF-8''{encoded}-{instant}.{extension}")
}

fn is_plain(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.')
}
