//! The addresses of the public listener. There is one way to open one, and it writes down what it opens, so the list
//! cannot miss any. Knows nothing of what is answered.

use actix_web::dev::HttpServiceFactory;
use actix_web::http::Method;
use actix_web::{FromRequest, Handler, Resource, Responder, web};

use super::reply;

/// Opens addresses, and remembers which.
pub struct Addresses<'a> {
    app: &'a mut web::ServiceConfig,
    listed: Vec<String>,
}

/// What is answered at one path, and by which methods.
pub struct Place<T> {
    path: &'static str,
    methods: &'static [&'static str],
    resource: T,
}

impl<'a> Addresses<'a> {
    pub fn of(app: &'a mut web::ServiceConfig) -> Self {
        Self { app, listed: Vec::new() }
    }

    pub fn open<T: HttpServiceFactory + 'static>(&mut self, place: Place<T>) {
        self.listed.extend(place.methods.iter().map(|method| format!("{method} {}", place.path)));
        self.app.service(place.resource);
    }

    /// One method of a path that others may share; what fits none of them is as if it were not there.
    pub fn route<F, Args>(&mut self, method: Method, path: &'static str, handler: F)
    where
        F: Handler<Args, Output: Responder + 'static>,
        Args: FromRequest + 'static,
    {
        self.listed.push(format!("{method} {path}"));
        self.app.route(path, web::method(method).to(handler));
    }

    /// What answers everywhere else.
    pub fn otherwise<F, Args>(&mut self, handler: F)
    where
        F: Handler<Args, Output: Responder + 'static>,
        Args: FromRequest + 'static,
    {
        self.app.default_service(web::to(handler));
    }

    /// Everything that was opened, as `METHOD /path`.
    pub fn listed(self) -> Vec<String> {
        self.listed
    }
}

impl<T> Place<T> {
    /// The same with something around it.
    pub fn within<U>(self, wrap: impl FnOnce(T) -> U) -> Place<U> {
        Place { path: self.path, methods: self.methods, resource: wrap(self.resource) }
    }
}

/// A document; HEAD asks for it without its body.
pub fn get<F, Args>(path: &'static str, handler: F) -> Place<Resource>
where
    F: Handler<Args, Output: Responder + 'static>,
    Args: FromRequest + 'static,
{
    let resource = web::resource(path)
        .route(web::get().to(handler.clone()))
        .route(web::head().to(handler))
        .default_service(web::to(async || reply::wrong_method("GET, HEAD")));
    Place { path, methods: &["GET"], resource }
}

pub fn post<F, Args>(path: &'static str, handler: F) -> Place<Resource>
where
    F: Handler<Args, Output: Responder + 'static>,
    Args: FromRequest + 'static,
{
    let resource = web::resource(path)
        .route(web::post().to(handler))
        .default_service(web::to(async || reply::wrong_method("POST")));
    Place { path, methods: &["POST"], resource }
}

/// A page that asks (GET) and hears the answer (POST).
pub fn both<G, GetArgs, P, PostArgs>(path: &'static str, ask: G, answer: P) -> Place<Resource>
where
    G: Handler<GetArgs, Output: Responder + 'static>,
    GetArgs: FromRequest + 'static,
    P: Handler<PostArgs, Output: Responder + 'static>,
    PostArgs: FromRequest + 'static,
{
    let resource = web::resource(path)
        .route(web::get().to(ask))
        .route(web::post().to(answer))
        .default_service(web::to(async || reply::wrong_method("GET, POST")));
    Place { path, methods: &["GET", "POST"], resource }
}
