"""The pages for people with a browser, one module a page, rendered here from the same views as the API.

What always holds: everything is escaped; there is no inline script or style; without JavaScript they are plain pages
with plain forms. A request by htmx (`HX-Request`) gets the part inside `main`, everybody else the whole page.
"""
