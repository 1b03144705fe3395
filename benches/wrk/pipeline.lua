-- Sixteen GETs written in one go on each connection. What stands behind an answer with `connection: close` is sent
-- again by wrk on a new connection, as HTTP permits, and is no error.
local depth = 16

function init()
   local requests = {}
   for number = 1, depth do
      requests[number] = wrk.format("GET", "/")
   end
   pipeline = table.concat(requests)
end

function request()
   return pipeline
end
