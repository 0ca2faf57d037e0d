// What the page has before the script of the editor: htmx.
declare global {
  const htmx: {
    ajax: (method: string, address: string, context: { target: string; source?: Element; swap?: string }) => Promise<void>;
    process: (element: Element) => void;
  };
}

export {};
