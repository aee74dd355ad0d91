//! A test's own server: a function from request to response.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use super::bytes_of;
use crate::batch::Part;
use crate::http::{Request, Response};
use crate::{Error, Result};

pub(crate) type Answer = Pin<Box<dyn Future<Output = Result<Response>>>>;
pub(crate) type Server = Rc<dyn Fn(Request<'static>) -> Answer>;

thread_local! {
    static SERVER: RefCell<Option<Server>> = const { RefCell::new(None) };
}

pub(crate) fn serve(server: Server) {
    SERVER.replace(Some(server));
}

pub(crate) async fn send(request: Request<'_>) -> Result<Response> {
    let body = vec![Part::Bytes(bytes_of(&request.body)?)];
    let Request { endpoint, method, path, query, headers, timeout_ms, response_bytes_max, options, .. } =
        request;
    let request =
        Request { endpoint, method, path, query, headers, body, timeout_ms, response_bytes_max, options };
    let server = SERVER.with_borrow(Clone::clone);
    let server = server.ok_or_else(|| Error::unavailable("no test server: see testing::serve_http"))?;
    server(request).await
}
