-- How many clients the server has seen in them, by its own words.
local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init()
  seen, peers = {}, 0
end

function response(_, _, body)
  if not seen[body] then
    seen[body] = true
    peers = peers + 1
  end
end

function done(summary)
  local of, peers = summary.errors, 0
  for _, thread in ipairs(threads) do
    peers = peers + thread:get("peers")
  end
  local errors = of.connect + of.read + of.write + of.status + of.timeout
  io.write(("%d peers, %d errors\n"):format(peers, errors))
end
