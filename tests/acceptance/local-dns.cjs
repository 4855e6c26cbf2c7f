// Preloaded with `node --require`. Inside this process alone the names of the test domain lead to the
// loopback: the organization's own host to the shop on 127.0.0.2, every other to the server on 127.0.0.1.
// global fetch, http, https and tls all end in dns.lookup, so nothing else has to be told.
const dns = require('node:dns')

const DOMAIN = 'cl.test'
const SHOP = 'my-org.' + DOMAIN
const lookup = dns.lookup

dns.lookup = function (name, options, callback) {
  if (typeof options === 'function') return dns.lookup(name, {}, options)
  if (name !== DOMAIN && !name.endsWith('.' + DOMAIN)) return lookup.call(dns, name, options, callback)
  const address = name === SHOP ? '127.0.0.2' : '127.0.0.1'
  const all = typeof options === 'object' && options !== null && options.all
  process.nextTick(() => (all ? callback(null, [{ address, family: 4 }]) : callback(null, address, 4)))
}
