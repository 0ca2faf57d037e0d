"""The traversal tree: what exists at which URL, and who may do what there.

A URL is a path through a tree of resources: `/w/acme/feeds/{id}` is Root -> WorkspaceCollection -> WorkspaceResource ->
FeedCollection -> FeedResource. Each step looks up the next one *through* its workspace, so another tenant's id is a 404
by construction. A view names the resource class that it is for (its context) and the permission that it requires.

- `permissions`: permissions, the roles and API-key scopes that grant them, and their labels.
- `base`: the node class of the tree.
- `application`: the root and the pages: `/w`, `/account`, `/signin`, `/ops`, ...
- `workspace`: the pages of a workspace: `/w/{slug}/...`.
- `api`: `/v1`.
- `signed_urls`: `/i`.

`__getitem__` raises KeyError for "not found". `__acl__` is a method, never a property: an AttributeError inside a
property would silently drop the ACL. The default is to deny.
"""
