// A person with a browser, as far as signing in needs one: keeps cookies, reads the form on the page, fills
// it in and follows redirects until they leave the server.
import assert from 'node:assert/strict'

export async function signIn (address, fields) {
  const cookies = new Map()
  const host = new URL(address).host
  const go = async (to, form) => {
    const answer = await fetch(to, {
      redirect: 'manual',
      headers: { cookie: [...cookies].map((pair) => pair.join('=')).join('; ') },
      ...(form && { method: 'POST', body: new URLSearchParams(form) })
    })
    for (const line of answer.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line)
      cookies.set(name, value)
    }
    return answer
  }
  let at = new URL(address)
  let answer = await go(at)
  for (let steps = 0; steps < 6; steps++) {
    const location = answer.headers.get('location')
    if (location) {
      at = new URL(location, at)
      if (at.host !== host) return at
      answer = await go(at)
      continue
    }
    assert.equal(answer.status, 200, `a page at ${at.pathname}`)
    const { action, values } = readForm(await answer.text())
    at = new URL(action, at)
    answer = await go(at, { ...values, ...fields })
  }
  throw new Error('the pages lead nowhere')
}

// The form of a page with the fields that it carries already.
function readForm (page) {
  const action = /<form[^>]*action="([^"]*)"/.exec(page)
  assert.ok(action, 'a form on the page')
  const values = {}
  for (const [input] of page.matchAll(/<input[^>]*type="hidden"[^>]*>/g)) {
    values[/name="([^"]*)"/.exec(input)[1]] = /value="([^"]*)"/.exec(input)[1].replaceAll('&amp;', '&')
  }
  return { action: action[1].replaceAll('&amp;', '&'), values }
}
