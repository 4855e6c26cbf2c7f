// Stands between the shop and the server's feed in this test alone: plain HTTP on one side, TLS with the
// throw-away authority (NODE_EXTRA_CA_CERTS) on the other. Says "relay ready at ADDRESS" and runs until ended.
import http from 'node:http'
import https from 'node:https'

const issuer = new URL(process.argv[2])
const relay = http.createServer((asked, answer) => {
  const { method, url: path, headers } = asked
  const there = https.request({ hostname: issuer.hostname, port: issuer.port, method, path, headers: { ...headers, host: issuer.host } })
  there.on('response', (told) => { answer.writeHead(told.statusCode, told.headers); told.pipe(answer) })
  there.on('error', () => answer.destroy())
  answer.on('close', () => there.destroy())
  asked.pipe(there)
})
relay.listen(0, '127.0.0.1', () => console.log(`relay ready at 127.0.0.1:${relay.address().port} (for ${issuer.origin})`))
