//! One thing that a client can ask for, with all that it can be answered.

use http::Method;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::path::{OperationBuilder, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, OneOfBuilder, Type};
use utoipa::openapi::{Content, ContentBuilder, Ref, RefOr, Required, Schema};

use super::words::{Refused, Zero};
use crate::access::Role;

/// Schemas that others refer to, by their names.
pub(super) type Schemas = Vec<(String, RefOr<Schema>)>;

/// Roles as operations say them.
pub(super) const READ: Needs = Needs::Role(Role::Read);
pub(super) const OPERATE: Needs = Needs::Role(Role::Operate);
pub(super) const WRITE: Needs = Needs::Role(Role::Write);
pub(super) const ADMIN: Needs = Needs::Role(Role::Admin);

/// The type of all our JSON answers but problems.
pub(super) const JSON: &str = "application/json";

/// What a client needs to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) enum Needs {
    /// Nothing: a supervisor or a reader of the description asks.
    Nothing,
    /// This role, or one that holds it.
    Role(Role),
}

/// One thing that a client can ask for.
pub(super) struct Operation {
    pub(super) method: Method,
    pub(super) path: &'static str,
    /// Its name among all.
    pub(super) id: &'static str,
    pub(super) needs: Needs,
    /// Other paths at which the same is served.
    pub(super) also: &'static [&'static str],
    pub(super) described: OperationBuilder,
    pub(super) schemas: Schemas,
}

impl Operation {
    /// An operation without answers. `needs`: who may ask for it, which is held here and nowhere else. `id` names it among all.
    pub(super) fn new(
        method: Method,
        path: &'static str,
        needs: Needs,
        id: &'static str,
        tag: &str,
        summary: &str,
    ) -> Self {
        let described =
            OperationBuilder::new().operation_id(Some(id)).tag(tag).summary(Some(summary)).description(None::<String>);
        Self { method, path, id, needs, also: &[], described, schemas: Vec::new() }
    }

    /// What is to be known beyond the summary, in Markdown.
    pub(super) fn description(self, text: &str) -> Self {
        self.with(|described| described.description(Some(text)))
    }

    /// Other paths at which the same is served.
    pub(super) fn also_at(self, also: &'static [&'static str]) -> Self {
        Self { also, ..self }
    }

    /// What stands in the path between `{` and `}`.
    pub(super) fn path_parameter<T: ToSchema>(self, name: &str, description: &str, example: &str) -> Self {
        self.parameter::<T>(ParameterIn::Path, name, description, Some(example))
    }

    /// What may stand in the query.
    pub(super) fn query_parameter<T: ToSchema>(self, name: &str, description: &str) -> Self {
        self.parameter::<T>(ParameterIn::Query, name, description, None)
    }

    /// A header that may be sent.
    pub(super) fn header_parameter<T: ToSchema>(self, name: &str, description: &str) -> Self {
        self.parameter::<T>(ParameterIn::Header, name, description, None)
    }

    fn parameter<T: ToSchema>(mut self, place: ParameterIn, name: &str, text: &str, example: Option<&str>) -> Self {
        let required = if matches!(place, ParameterIn::Path) { Required::True } else { Required::False };
        let parameter: Parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(place)
            .required(required)
            .description(Some(text))
            .schema(Some(self.reference::<T>()))
            .example(example.map(Value::from))
            .build();
        self.with(|described| described.parameter(parameter))
    }

    /// The body that is sent, in the first of these types if it is all the same.
    pub(super) fn body(self, types: &[&str], required: bool, schema: RefOr<Schema>, example: Value) -> Self {
        let content = ContentBuilder::new().schema(Some(schema)).example(Some(example)).build();
        let required = if required { Required::True } else { Required::False };
        let body = RequestBodyBuilder::new().required(Some(required));
        let body = types.iter().fold(body, |body, kind| body.content(*kind, content.clone()));
        self.with(|described| described.request_body(Some(body.build())))
    }

    /// A JSON body that has to be sent.
    pub(super) fn json<T: ToSchema>(mut self, example: Value) -> Self {
        let schema = self.reference::<T>();
        self.body(&[JSON], true, schema, example)
    }

    /// An answer in JSON.
    pub(super) fn answer<T: ToSchema>(mut self, status: u16, description: &str) -> Self {
        let schema = self.reference::<T>();
        self.content(status, description, JSON, Content::new(Some(schema)))
    }

    /// An answer of 200 in an envelope: the data, or why there is none.
    pub(super) fn data<T: ToSchema>(mut self, description: &str, example: Value) -> Self {
        let data = self.reference::<T>();
        self.enveloped(data, description, example)
    }

    /// The same where the data may be `null`.
    pub(super) fn data_or_null<T: ToSchema>(mut self, description: &str, example: Value) -> Self {
        let null = ObjectBuilder::new().schema_type(Type::Null);
        let data = OneOfBuilder::new().item(self.reference::<T>()).item(null);
        self.enveloped(data.into(), description, example)
    }

    /// The same where the data is a list.
    pub(super) fn data_list<T: ToSchema>(mut self, description: &str, example: Value) -> Self {
        let data = ArrayBuilder::new().items(self.reference::<T>());
        self.enveloped(data.into(), description, example)
    }

    fn enveloped(mut self, data: RefOr<Schema>, description: &str, example: Value) -> Self {
        let data = ObjectBuilder::new()
            .property("error", self.reference::<Zero>())
            .required("error")
            .property("data", data)
            .required("data");
        let schema = OneOfBuilder::new().item(data).item(self.reference::<Refused>());
        let example = serde_json::json!({ "error": 0, "data": example });
        let content = ContentBuilder::new().schema(Some(schema)).example(Some(example)).build();
        self.content(200, description, JSON, content)
    }

    /// An answer of 200 in an envelope: done, or why not.
    pub(super) fn done<T: ToSchema>(mut self, description: &str) -> Self {
        let schema = OneOfBuilder::new().item(self.reference::<T>()).item(self.reference::<Refused>());
        self.content(200, description, JSON, Content::new(Some(schema)))
    }

    /// An answer of any type.
    pub(super) fn content(self, status: u16, description: &str, kind: &str, content: Content) -> Self {
        let response = ResponseBuilder::new().description(description).content(kind, content);
        self.response(status, response)
    }

    /// An answer of any kind.
    pub(super) fn response(self, status: u16, response: ResponseBuilder) -> Self {
        self.with(|described| described.response(status.to_string(), response.build()))
    }

    /// Answers that stand among those that operations share, by their names.
    pub(super) fn shared(self, responses: &[(u16, &str)]) -> Self {
        responses.iter().fold(self, |operation, (status, name)| {
            let shared = Ref::from_response_name(*name);
            operation.with(|described| described.response(status.to_string(), shared))
        })
    }

    /// A reference to a schema, which is noted to be there.
    pub(super) fn reference<T: ToSchema>(&mut self) -> RefOr<Schema> {
        reference::<T>(&mut self.schemas)
    }

    fn with(self, change: impl FnOnce(OperationBuilder) -> OperationBuilder) -> Self {
        Self { described: change(self.described), ..self }
    }
}

/// A reference to a schema, which is noted to be there.
pub(super) fn reference<T: ToSchema>(schemas: &mut Schemas) -> RefOr<Schema> {
    let name = T::name();
    T::schemas(schemas);
    schemas.push((name.to_string(), T::schema()));
    Ref::from_schema_name(name).into()
}
