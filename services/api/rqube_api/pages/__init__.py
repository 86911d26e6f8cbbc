"""The pages for people: one module per page, a function per action, a template per function.

Handlers gather in one thread call, build plain data, and hand it to
`templates/<page>/<action>.html`. Every page is complete without JavaScript.
"""
