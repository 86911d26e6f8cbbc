"""Downloading a page that a stranger named, without harm to this network or this process.

Server-side request forgery: a URL may lead to an address that only we can reach. And a server may
answer for ever, slowly, hugely or compressed. `fetcher.fetch` holds every connection to rules:

addresses     which addresses may be reached (pure)
urls          which URLs may be fetched, and where a redirect leads (pure)
statuses      what a status of 400 or more means for the job (pure)
limits        how much time and how many bytes one fetch may take
errors        how a fetch fails
watchdog      ends a fetch at its deadline, whatever it is blocked in
sockets       resolves a name once, checks every answer, connects to what was checked
connections   puts that under `requests`, and counts every byte on the wire
text          counts the characters as `requests` would decode them
fetcher       one GET with its redirects
"""
