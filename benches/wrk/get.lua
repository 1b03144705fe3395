-- GET / on kept-alive connections, back to back.
wrk.method = "GET"
wrk.path = "/"
