-- POST / with 3 kB, which the server echoes.
wrk.method = "POST"
wrk.path = "/"
wrk.headers["Content-Type"] = "application/octet-stream"
wrk.body = string.rep("0123456789abcdef", 192)
