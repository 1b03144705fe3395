-- A connection for each request: the client asks the server to close it.
wrk.method = "GET"
wrk.path = "/"
wrk.headers["Connection"] = "close"
